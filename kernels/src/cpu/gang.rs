//! Threads that share the chunks of a step.
//!
//! A [`Gang`] is the caller and helpers that it borrows, from threads that only help (`desk.rs`) or from a rayon pool. Helpers
//! arrive when they can, spin for a short while between parallel regions and go back when nothing comes; the caller never waits for a helper
//! that has not arrived. Which thread takes which chunk is left to chance, so chunks must not depend on each other.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mindir_graph::bounds::{self, Bounds};
use rayon::ThreadPool;

use super::desk::Helpers;
use crate::knobs::{self, KnobError};

/// How long a helper spins without work before it goes back, unless there are more threads than processors, where
/// it would take the time of those that have work.
const LINGER: Duration = Duration::from_micros(50);

/// A gang that calls a helper, and the helper's seat.
type Call = (Arc<Crew>, usize);

/// Where helpers come from.
#[derive(Clone)]
enum Source {
    /// Threads that do nothing else.
    Helpers(Arc<Helpers<Call>>),
    Pool(Arc<ThreadPool>),
}

impl Source {
    fn call(&self, (crew, seat): Call) {
        match self {
            Source::Helpers(helpers) => helpers.call((crew, seat)),
            Source::Pool(pool) => pool.spawn(move || crew.help(seat)),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Source::Helpers(_)) { "Helpers" } else { "Pool" })
    }
}

/// The threads that gangs recruit from.
#[derive(Clone, Debug)]
pub struct Threads {
    source: Option<Source>,
    count: usize,
    /// How long helpers spin without work.
    linger: Duration,
}

impl Threads {
    /// `count` threads, the caller included; fewer if the system refuses them.
    pub fn new(count: usize) -> Threads {
        if count <= 1 {
            return Threads { source: None, count: 1, linger: LINGER };
        }
        let helpers = Helpers::new(count - 1, |(crew, seat): Call| crew.help(seat));
        let source = helpers.ok().map(|helpers| Source::Helpers(Arc::new(helpers)));
        let count = if source.is_some() { count } else { 1 };
        Threads { source, count, linger: linger(count) }
    }

    /// Threads of `pool`, one of which the caller stands for; at most `most` of them.
    pub fn from_pool(pool: Arc<ThreadPool>, most: Option<usize>) -> Threads {
        let count = pool.current_num_threads().min(most.unwrap_or(usize::MAX));
        Threads { source: (count > 1).then_some(Source::Pool(pool)), count, linger: linger(count) }
    }

    /// More threads are refused: each costs memory and time to start.
    pub const MOST: usize = 4096;

    /// As many threads as `MINDIR_THREADS` says, else one for each core that the process may use.
    ///
    /// # Errors
    /// [`KnobError`] if the variable is no number from 1 to [`Threads::MOST`].
    pub fn available() -> Result<Threads, KnobError> {
        Ok(Threads::new(asked(knobs::THREADS.get().as_deref())?.unwrap_or_else(cores)))
    }

    /// Number of threads, the caller included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A gang for one caller at a time.
    pub fn gang(&self) -> Gang {
        let crew = |source: &Source| (Arc::new(Crew::new(self.count - 1, self.linger)), source.clone());
        let crew = self.source.as_ref().map(crew);
        Gang { crew, threads: self.count, epoch: 0 }
    }
}

fn linger(threads: usize) -> Duration {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if threads > processors { Duration::ZERO } else { LINGER }
}

fn asked(value: Option<&str>) -> Result<Option<usize>, KnobError> {
    let number =
        |v: &str| v.parse().ok().filter(|n| (1..=Threads::MOST).contains(n)).ok_or_else(|| knobs::THREADS.error(v));
    value.map(number).transpose()
}

/// Physical cores that the process may use: affinity, quotas and hyperthreads considered where the system tells.
fn cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    physical_cores().map_or(logical, |p| p.clamp(1, logical))
}

#[cfg(target_os = "linux")]
fn physical_cores() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = std::collections::BTreeSet::new();
    for range in allowed.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        for cpu in first.parse::<usize>().ok()?..=last.parse::<usize>().ok()? {
            let siblings = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            cores.insert(std::fs::read_to_string(siblings).ok()?);
        }
    }
    Some(cores.len())
}

#[cfg(not(target_os = "linux"))]
fn physical_cores() -> Option<usize> {
    None
}

/// A caller and its helpers.
#[derive(Debug)]
pub struct Gang {
    crew: Option<(Arc<Crew>, Source)>,
    threads: usize,
    epoch: u32,
}

impl Gang {
    /// The caller alone.
    pub fn alone() -> Gang {
        Threads::new(1).gang()
    }

    /// Largest number of threads that work at the same time, the caller included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls helpers that are not here, so that they arrive while the caller does something else.
    pub fn recruit(&self) {
        self.call(self.threads);
    }

    /// Calls helpers until there are `most`.
    fn call(&self, most: usize) {
        let Some((crew, source)) = &self.crew else { return };
        let vacant = crew.vacant.load(Ordering::Relaxed);
        let mut wanted = most.min(crew.seats.len()).saturating_sub(crew.seats.len() - vacant);
        for seat in 0..crew.seats.len() {
            if wanted == 0 {
                return;
            }
            if !crew.seats[seat].swap(true, Ordering::Acquire) {
                crew.vacant.fetch_sub(1, Ordering::Relaxed);
                wanted -= 1;
                source.call((crew.clone(), seat));
            }
        }
    }

    /// Calls `f(chunk, worker)` once for every chunk below `chunks`, in any order, possibly at the same time. Calls that run
    /// at the same time have different workers, all below [`Gang::threads`]. When the calling thread has to
    /// [stop](bounds::check), chunks that no worker has begun are left out.
    ///
    /// # Panics
    /// If `f` does.
    pub fn parallel(&mut self, chunks: usize, f: impl Fn(usize, usize) + Sync) {
        let halt = bounds::halt();
        if halt.is_set() {
            // Helpers heed the caller's bounds also inside of a chunk.
            let heeding = |chunk, worker| match worker {
                _ if halt.is_over() => {}
                0 => f(chunk, 0),
                _ => Bounds { halt: halt.clone(), ..Bounds::default() }.enter(|| f(chunk, worker)),
            };
            self.all(chunks, heeding);
        } else {
            self.all(chunks, f);
        }
    }

    fn all(&mut self, chunks: usize, f: impl Fn(usize, usize) + Sync) {
        if chunks <= 1 || self.crew.is_none() {
            return (0..chunks).for_each(|chunk| f(chunk, 0));
        }
        self.call(chunks - 1);
        let Some((crew, _)) = &self.crew else { return };
        self.epoch = self.epoch.wrapping_add(1);
        crew.region(self.epoch, chunks, &f);
    }

    /// Calls `f(chunk, piece)` for every piece of `data`, each `piece` long but the last, which may be shorter.
    ///
    /// # Panics
    /// If `f` does.
    pub fn parallel_pieces<T: Send>(&mut self, data: &mut [T], piece: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        let (len, piece) = (data.len(), piece.max(1));
        let base = Shared::new(data.as_mut_ptr());
        self.parallel(len.div_ceil(piece), |chunk, _| {
            let at = chunk * piece;
            // SAFETY: every chunk is called once and has its own range, which lies inside `data`.
            f(chunk, unsafe { base.slice(at, piece.min(len - at)) });
        });
    }

    /// Calls `f(chunk, worker, scratch)` as [`Gang::parallel`] does, where `scratch` is one of [`Gang::threads`] equal parts of
    /// `scratch`, not used by another call at the same time.
    ///
    /// # Panics
    /// If `f` does.
    pub fn parallel_with<T: Send>(
        &mut self,
        chunks: usize,
        scratch: &mut [T],
        f: impl Fn(usize, usize, &mut [T]) + Sync,
    ) {
        let each = scratch.len() / self.threads;
        let base = Shared::new(scratch.as_mut_ptr());
        self.parallel(chunks, |chunk, worker| {
            // SAFETY: workers are below `threads`, so the range lies inside `scratch`, and a worker runs one call at a time.
            f(chunk, worker, unsafe { base.slice(worker * each, each) });
        });
    }
}

impl Drop for Gang {
    fn drop(&mut self) {
        if let Some((crew, _)) = &self.crew {
            crew.closed.store(true, Ordering::Relaxed);
        }
    }
}

/// A pointer to memory that the threads of a region divide among themselves.
pub struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}
// SAFETY: the pointer is only followed through unsafe calls whose callers keep the ranges apart.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The memory at `first`.
    pub fn new(first: *mut T) -> Shared<T> {
        Shared(first)
    }

    /// Element `at`, which need not be inside.
    pub fn at(self, at: usize) -> *mut T {
        self.0.wrapping_add(at)
    }

    /// `len` elements from element `at`.
    ///
    /// # Safety
    /// The range lies inside one allocation that outlives `'a`, is initialised, and nothing else uses it during `'a`.
    pub unsafe fn slice<'a>(self, at: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}

/// One parallel region: a closure behind a pointer.
#[derive(Clone, Copy, Debug)]
struct Job {
    call: unsafe fn(*const (), usize, usize),
    data: *const (),
    chunks: usize,
}

/// Set in `gate` while helpers may join; the bits below count the helpers inside, those from bit 32 are the epoch.
const OPEN: u64 = 1 << 31;

/// What the caller and its helpers share.
///
/// `job` belongs to the caller while the gate is closed and nobody is inside; while the gate is open or somebody is
/// inside, nobody writes it. A helper is inside from a successful compare-exchange on an open gate until its decrement.
struct Crew {
    gate: AtomicU64,
    next: AtomicUsize,
    job: UnsafeCell<Job>,
    seats: Box<[AtomicBool]>,
    vacant: AtomicUsize,
    closed: AtomicBool,
    panicked: AtomicBool,
    linger: Duration,
}

// SAFETY: `job` is written and read as documented at the type; the pointer in it is followed only inside a region, during
// which the closure lives, and the closure is `Sync`.
unsafe impl Sync for Crew {}
// SAFETY: as above.
unsafe impl Send for Crew {}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crew({})", self.seats.len())
    }
}

impl Crew {
    fn new(helpers: usize, linger: Duration) -> Crew {
        unsafe fn nothing(_: *const (), _: usize, _: usize) {}
        Crew {
            gate: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: UnsafeCell::new(Job { call: nothing, data: std::ptr::null(), chunks: 0 }),
            seats: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
            vacant: AtomicUsize::new(helpers),
            closed: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            linger,
        }
    }

    fn region<F: Fn(usize, usize) + Sync>(&self, epoch: u32, chunks: usize, f: &F) {
        unsafe fn call<F: Fn(usize, usize) + Sync>(data: *const (), chunk: usize, worker: usize) {
            // SAFETY: `data` is the `f` of the region, which the region keeps alive until everybody has left.
            let f = unsafe { &*data.cast::<F>() };
            f(chunk, worker);
        }
        let job = Job { call: call::<F>, data: std::ptr::from_ref(f).cast(), chunks };
        // SAFETY: the gate is closed and nobody is inside, so the job is the caller's.
        unsafe { *self.job.get() = job };
        self.next.store(0, Ordering::Relaxed);
        self.gate.store(u64::from(epoch) << 32 | OPEN, Ordering::Release);
        let inside = Region(self);
        self.work(job, 0);
        drop(inside);
        if self.panicked.swap(false, Ordering::Relaxed) {
            resume("a helper thread panicked");
        }
    }

    fn work(&self, job: Job, worker: usize) {
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= job.chunks {
                return;
            }
            // SAFETY: `job` is that of the current region, and this thread is inside it.
            unsafe { (job.call)(job.data, chunk, worker) };
        }
    }

    fn help(&self, seat: usize) {
        let (mut seen, mut spins, mut idle) = (0u32, 0u32, Instant::now());
        loop {
            let gate = self.gate.load(Ordering::Relaxed);
            if gate & OPEN != 0 && (gate >> 32) as u32 != seen {
                if self.gate.compare_exchange_weak(gate, gate + 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    seen = (gate >> 32) as u32;
                    // SAFETY: this thread is inside, so nobody writes the job.
                    let job = unsafe { *self.job.get() };
                    if catch_unwind(AssertUnwindSafe(|| self.work(job, seat + 1))).is_err() {
                        self.panicked.store(true, Ordering::Relaxed);
                    }
                    self.gate.fetch_sub(1, Ordering::Release);
                    idle = Instant::now();
                }
                continue;
            }
            std::hint::spin_loop();
            spins = spins.wrapping_add(1);
            if spins.is_multiple_of(32) && (self.closed.load(Ordering::Relaxed) || idle.elapsed() > self.linger) {
                break;
            }
        }
        self.vacant.fetch_add(1, Ordering::Relaxed);
        self.seats[seat].store(false, Ordering::Release);
    }
}

/// Closes the gate and waits for the helpers inside, also when the caller unwinds.
struct Region<'a>(&'a Crew);

impl Drop for Region<'_> {
    fn drop(&mut self) {
        self.0.next.store(usize::MAX / 2, Ordering::Relaxed);
        self.0.gate.fetch_and(!OPEN, Ordering::Relaxed);
        let mut spins = 0u32;
        while self.0.gate.load(Ordering::Acquire) & (OPEN - 1) != 0 {
            spins += 1;
            if spins > 4_000 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

fn resume(message: &'static str) -> ! {
    let payload: Box<dyn Any + Send> = Box::new(message);
    std::panic::resume_unwind(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads_have_bounds() {
        assert_eq!(asked(None), Ok(None));
        assert_eq!(asked(Some("3")), Ok(Some(3)));
        for wrong in ["0", "4097", "abc", "-1", "1.5"] {
            let error = asked(Some(wrong)).unwrap_err();
            assert_eq!(error.to_string(), format!("MINDIR_THREADS is {wrong:?}, expected a number from 1 to 4096"));
        }
    }

    /// An interpreter takes thousands of times as long.
    const ROUNDS: usize = if cfg!(miri) { 5 } else { 200 };

    #[test]
    fn every_chunk_runs_once() {
        for threads in [1, 2, 3, 5] {
            let mut gang = Threads::new(threads).gang();
            for chunks in (0..ROUNDS).chain([5 * ROUNDS]) {
                let counts: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
                gang.parallel(chunks, |chunk, worker| {
                    assert!(worker < threads);
                    counts[chunk].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{threads} threads, {chunks} chunks");
            }
        }
    }

    #[test]
    fn workers_do_not_share_scratch() {
        let mut gang = Threads::new(4).gang();
        let mut scratch = vec![0usize; 4 * 8];
        for _ in 0..ROUNDS / 2 {
            gang.parallel_with(64, &mut scratch, |chunk, _, mine| {
                mine.fill(chunk);
                std::thread::yield_now();
                assert!(mine.iter().all(|&x| x == chunk));
            });
        }
    }

    #[test]
    fn helpers_arrive() {
        let mut gang = Threads::new(2).gang();
        let helped = AtomicBool::new(false);
        let start = Instant::now();
        while !helped.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(10) {
            gang.parallel(4, |_, worker| {
                helped.fetch_or(worker == 1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(100));
            });
        }
        assert!(helped.load(Ordering::Relaxed));
    }

    #[test]
    fn helpers_come_from_a_pool_too() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let mut gang = Threads::from_pool(Arc::new(pool), None).gang();
        let sum = AtomicUsize::new(0);
        gang.parallel(10, |chunk, _| {
            sum.fetch_add(chunk, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_gang_survives() {
        let mut gang = Threads::new(3).gang();
        for bad in 0..8 {
            let run = AssertUnwindSafe(|| gang.parallel(8, |chunk, _| assert_ne!(chunk, bad)));
            assert!(catch_unwind(run).is_err());
        }
        let sum = AtomicUsize::new(0);
        gang.parallel(10, |chunk, _| {
            sum.fetch_add(chunk, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn pieces_cover_the_data() {
        let mut data = vec![0usize; 103];
        Threads::new(2).gang().parallel_pieces(&mut data, 10, |chunk, piece| piece.fill(chunk + 1));
        assert!(data.iter().enumerate().all(|(i, &x)| x == i / 10 + 1));
    }
}
