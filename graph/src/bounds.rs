//! What a run may take: time, memory, nodes of a plan; and the token that ends it.
//!
//! [`Bounds`] belong to the thread that they were [entered](Bounds::enter) on. Whatever works there for long asks
//! [`check`] now and then, and whatever allocates by a shape asks [`reserve`] first, so that neither references nor passes
//! hand bounds on to each other. Threads that help take a [`Halt`] along.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

/// Bytes that references and plain kernels take for an element of an operand or result, besides the elements: they compute in
/// numbers of 8 or 16 bytes, and hold few of them for each element at one time.
pub const NUMBERS: usize = 32;

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of memory, as the options allow them.
    Memory,
    /// Bytes of memory, as the system has them; the limit is 0, for it is not known.
    System,
    /// Calls of graphs in one run.
    Calls,
    /// Calls that are unfinished at one time.
    Depth,
    /// Nodes of one plan.
    PlanNodes,
    /// Nanoseconds of one run.
    Time,
    /// The caller's patience: a [`CancelToken`] was cancelled. There are no numbers.
    Cancelled,
}

/// A bound that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// What is bounded.
    pub what: Limit,
    /// How much of it there may be.
    pub limit: u64,
    /// How much would be needed at least.
    pub needed: u64,
}

impl Exceeded {
    /// The system does not give so many bytes.
    pub fn system(bytes: usize) -> Exceeded {
        Exceeded { what: Limit::System, limit: 0, needed: bytes as u64 }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exceeded { what, limit, needed } = self;
        match what {
            Limit::Memory => write!(f, "memory: {} are needed, the limit is {limit}", Bytes(*needed)),
            Limit::System => write!(f, "memory: the system does not give {}", Bytes(*needed)),
            Limit::Calls => write!(f, "calls: {needed} are needed, the limit is {limit}"),
            Limit::Depth => write!(f, "depth of calls: {needed} is needed, the limit is {limit}"),
            Limit::PlanNodes => write!(f, "nodes of a plan: {needed} are needed, the limit is {limit}"),
            Limit::Time => write!(f, "time: the deadline of {:?} is over", Duration::from_nanos(*limit)),
            Limit::Cancelled => write!(f, "cancelled"),
        }
    }
}

impl std::error::Error for Exceeded {}

/// A number of bytes, of which the highest stands for all that are beyond.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX { write!(f, "more than 16 EiB") } else { write!(f, "{} bytes", self.0) }
    }
}

/// Ends runs from another thread. Clones are one token, which stays cancelled once it is.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Ends every run that was given this token, now and later.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Cancels the token when it is dropped, as the future of a run is that nobody waits for any more.
    pub fn when_dropped(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    /// Whether the token was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cancels a token when it is dropped.
#[derive(Debug)]
pub struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// When to stop. What is over stays over.
#[derive(Clone, Debug, Default)]
pub struct Halt {
    cancel: Option<CancelToken>,
    deadline: Option<(Instant, Duration)>,
}

impl Halt {
    /// When `token` is cancelled, or when `time` from now on is over.
    pub fn new(token: Option<CancelToken>, time: Option<Duration>) -> Halt {
        let at = |time: Duration| Some((Instant::now().checked_add(time)?, time));
        Halt { cancel: token, deadline: time.and_then(at) }
    }

    /// Whether it is time to stop.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
            || self.deadline.is_some_and(|(at, _)| Instant::now() >= at)
    }

    /// Whether it may ever be time to stop.
    pub fn is_set(&self) -> bool {
        self.cancel.is_some() || self.deadline.is_some()
    }

    /// Says whether it is time to stop, and why.
    ///
    /// # Errors
    /// [`Limit::Cancelled`] or [`Limit::Time`].
    #[inline]
    pub fn check(&self) -> Result<(), Exceeded> {
        if self.is_over() { Err(self.reason()) } else { Ok(()) }
    }

    #[cold]
    fn reason(&self) -> Exceeded {
        match self.deadline {
            Some((at, time)) if !self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) => {
                let late = Instant::now().saturating_duration_since(at);
                Exceeded { what: Limit::Time, limit: nanos(time), needed: nanos(time.saturating_add(late)) }
            }
            _ => Exceeded { what: Limit::Cancelled, limit: 0, needed: 0 },
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Holds memory that it can do without.
pub trait Spare: Send + Sync {
    /// Lets go of it.
    fn release(&self);
}

/// The bytes that a cell may take, and those that it has taken.
#[derive(Default)]
pub struct Account {
    limit: u64,
    used: AtomicU64,
    spares: Mutex<Vec<Weak<dyn Spare>>>,
}

impl Account {
    /// An account of `limit` bytes.
    pub fn new(limit: u64) -> Account {
        Account { limit, ..Account::default() }
    }

    /// The bytes that are taken.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Asks `spare` for memory before it refuses any.
    pub fn ask(&self, spare: Weak<dyn Spare>) {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
    }

    fn take(&self, bytes: u64) -> Result<(), Exceeded> {
        self.try_take(bytes).or_else(|_| {
            let spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner).clone();
            spares.iter().filter_map(Weak::upgrade).for_each(|spare| spare.release());
            self.try_take(bytes)
        })
    }

    fn try_take(&self, bytes: u64) -> Result<(), Exceeded> {
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let refused =
            |used: u64| Exceeded { what: Limit::Memory, limit: self.limit, needed: used.saturating_add(bytes) };
        taken.map(|_| ()).map_err(refused)
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("limit", &self.limit).field("used", &self.used()).finish_non_exhaustive()
    }
}

/// What somebody has taken of an account: a run, or the cell for as long as it lives.
#[derive(Debug)]
pub struct Share {
    account: Arc<Account>,
    used: AtomicU64,
    closed: AtomicBool,
}

impl Share {
    /// Nothing of `account` so far.
    pub fn new(account: Arc<Account>) -> Share {
        Share { account, used: AtomicU64::new(0), closed: AtomicBool::new(false) }
    }

    /// Gives back all that was taken. What is still held belongs to others from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.account.give(self.used.swap(0, Ordering::AcqRel));
    }

    fn take(&self, bytes: u64) -> Result<(), Exceeded> {
        self.account.take(bytes)?;
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, bytes: u64) {
        if !self.closed.load(Ordering::Acquire) {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.account.give(bytes);
        }
    }
}

/// Bytes that were taken of an account, until it is dropped.
#[derive(Debug, Default)]
pub struct Reservation(Option<(Arc<Share>, u64)>);

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some((share, bytes)) = self.0.take() {
            share.give(bytes);
        }
    }
}

/// The bounds of what a thread does.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// When to stop.
    pub halt: Halt,
    /// Most nodes of a plan.
    pub nodes: Option<u64>,
    /// Who pays for values that a run makes.
    pub run: Option<Arc<Share>>,
    /// Who pays for what outlives a run: plans, weights in other layouts, the memory of later runs.
    pub kept: Option<Arc<Share>>,
}

thread_local! {
    static CURRENT: RefCell<Bounds> = RefCell::new(Bounds::default());
}

/// Puts back the bounds of before.
struct Leave(Bounds);

impl Drop for Leave {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|now| std::mem::swap(now, &mut self.0));
    }
}

impl Bounds {
    /// Calls `f` with these as the bounds of the thread.
    pub fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        let _leave = Leave(CURRENT.replace(self));
        f()
    }
}

/// Calls `f`, which makes what outlives the run.
pub fn kept<R>(f: impl FnOnce() -> R) -> R {
    if CURRENT.with_borrow(|now| now.kept.is_none()) {
        return f();
    }
    let bounds = CURRENT.with_borrow(|now| Bounds { run: now.kept.clone(), ..now.clone() });
    bounds.enter(f)
}

/// When the thread must stop.
pub fn halt() -> Halt {
    CURRENT.with_borrow(|now| now.halt.clone())
}

/// Says whether the thread must stop, and why.
///
/// # Errors
/// [`Limit::Cancelled`] or [`Limit::Time`].
#[inline]
pub fn check() -> Result<(), Exceeded> {
    CURRENT.with_borrow(|now| now.halt.check())
}

/// The guard of `mutex`, for which the thread waits no longer than it may.
///
/// # Errors
/// As [`check`].
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Exceeded> {
    /// How long a thread that may have to stop sleeps between two looks at the mutex.
    const NAP: Duration = Duration::from_millis(1);
    let halt = halt();
    if !halt.is_set() {
        return Ok(mutex.lock().unwrap_or_else(PoisonError::into_inner));
    }
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(e)) => return Ok(e.into_inner()),
            Err(TryLockError::WouldBlock) => halt.check()?,
        }
        std::thread::sleep(NAP);
    }
}

/// Says whether a plan may have so many nodes.
///
/// # Errors
/// [`Limit::PlanNodes`].
pub fn plan_nodes(needed: usize) -> Result<(), Exceeded> {
    let (limit, needed) = (CURRENT.with_borrow(|now| now.nodes), needed as u64);
    match limit {
        Some(limit) if needed > limit => Err(Exceeded { what: Limit::PlanNodes, limit, needed }),
        _ => Ok(()),
    }
}

/// Takes `bytes` of the thread's account, before they are allocated.
///
/// # Errors
/// [`Limit::Memory`].
pub fn reserve(bytes: usize) -> Result<Reservation, Exceeded> {
    let Some(share) = CURRENT.with_borrow(|now| now.run.clone()) else { return Ok(Reservation(None)) };
    share.take(bytes as u64)?;
    Ok(Reservation(Some((share, bytes as u64))))
}

/// As [`reserve`], for memory that is allocated by means that cannot fail: asks the system as well.
///
/// # Errors
/// [`Limit::Memory`] or [`Limit::System`].
pub fn room(bytes: usize) -> Result<Reservation, Exceeded> {
    /// So little that asking takes longer than the system could refuse it.
    const SMALL: usize = 1 << 20;
    let reservation = reserve(bytes)?;
    if bytes > SMALL {
        Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| Exceeded::system(bytes))?;
    }
    Ok(reservation)
}

/// Says whether all bytes that a plan needs at one time could be taken if nothing else were.
///
/// # Errors
/// [`Limit::Memory`].
pub fn could_hold(bytes: usize) -> Result<(), Exceeded> {
    let limit = CURRENT.with_borrow(|now| now.kept.as_ref().map(|share| share.account.limit));
    match limit {
        Some(limit) if bytes as u64 > limit => Err(Exceeded { what: Limit::Memory, limit, needed: bytes as u64 }),
        _ => Ok(()),
    }
}

/// Asks [`check`] once in many turns of a loop.
#[derive(Debug, Default)]
pub struct Pulse(usize);

impl Pulse {
    /// Turns between two checks.
    const TURNS: usize = 4096;

    /// One turn.
    ///
    /// # Errors
    /// As [`check`].
    #[inline]
    pub fn beat(&mut self) -> Result<(), Exceeded> {
        self.turns(1)
    }

    /// As much work as `count` turns.
    ///
    /// # Errors
    /// As [`check`].
    #[inline]
    pub fn turns(&mut self, count: usize) -> Result<(), Exceeded> {
        self.0 = self.0.saturating_add(count);
        if self.0 < Pulse::TURNS {
            return Ok(());
        }
        self.0 = 0;
        check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(limit: u64) -> (Arc<Account>, Bounds) {
        let account = Arc::new(Account::new(limit));
        let share = || Some(Arc::new(Share::new(account.clone())));
        let bounds = Bounds { run: share(), kept: share(), ..Bounds::default() };
        (account, bounds)
    }

    #[test]
    fn reservations_are_counted_until_they_go() {
        let (account, bounds) = account(100);
        bounds.enter(|| {
            let first = reserve(60).unwrap();
            let refused = reserve(50).unwrap_err();
            assert_eq!(refused, Exceeded { what: Limit::Memory, limit: 100, needed: 110 });
            drop(first);
            let all = reserve(100).unwrap();
            assert_eq!(account.used(), 100);
            drop(all);
        });
        assert_eq!(account.used(), 0);
        assert!(reserve(usize::MAX).is_ok(), "there are no bounds any more");
    }

    #[test]
    fn what_a_closed_share_holds_is_of_no_account() {
        let (account, bounds) = account(100);
        let run = bounds.run.clone().unwrap();
        let (result, plan) = bounds.enter(|| (reserve(40).unwrap(), kept(|| reserve(30).unwrap())));
        run.close();
        assert_eq!(account.used(), 30);
        drop(result);
        assert_eq!(account.used(), 30);
        drop(plan);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn spare_memory_goes_before_any_is_refused() {
        struct Cache(Mutex<Option<Reservation>>);
        impl Spare for Cache {
            fn release(&self) {
                self.0.lock().unwrap().take();
            }
        }
        let (account, bounds) = account(100);
        bounds.enter(|| {
            let cache = Arc::new(Cache(Mutex::new(reserve(90).ok())));
            let spare: Arc<dyn Spare> = cache.clone();
            account.ask(Arc::downgrade(&spare));
            assert!(reserve(100).is_ok());
            assert!(cache.0.lock().unwrap().is_none());
        });
    }

    #[test]
    fn bounds_nest_and_survive_panics() {
        let token = CancelToken::new();
        token.cancel();
        let cancelled = || Bounds { halt: Halt::new(Some(token.clone()), None), ..Bounds::default() };
        let caught = std::panic::catch_unwind(|| cancelled().enter(|| panic!("inside")));
        assert!(caught.is_err() && check().is_ok());
        cancelled().enter(|| {
            assert_eq!(check().unwrap_err().what, Limit::Cancelled);
            Bounds::default().enter(|| assert!(check().is_ok()));
            assert!(check().is_err());
        });
    }

    #[test]
    fn deadlines_pass() {
        let halt = Halt::new(None, Some(Duration::ZERO));
        let Exceeded { what, limit, .. } = halt.check().unwrap_err();
        assert_eq!((what, limit), (Limit::Time, 0));
        assert!(Halt::new(None, Some(Duration::MAX)).check().is_ok());
        assert!(!Halt::default().is_set());
    }
}
