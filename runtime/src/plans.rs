//! The plans of a cell, and the memory of sessions that are not running.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mindir_graph::bounds::{self, Spare};
use mindir_graph::graph::{Def, GraphId, Model};
use mindir_graph::{Fact, Tensor};

use crate::Error;
use crate::plan::{Compiled, Workspace};

/// Most plans that a cell keeps.
const MAX_PLANS: usize = 64;

/// Where a plan starts, what enters it, and what of that must be known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub graph: GraphId,
    pub start: usize,
    pub keep_all: bool,
    pub facts: Vec<Fact>,
    pub known: Vec<(usize, Bytes)>,
}

impl Key {
    fn bytes(&self) -> usize {
        self.known.iter().map(|(_, b)| b.len()).sum()
    }
}

/// A plan that runs.
pub(crate) struct Ready {
    pub compiled: Compiled,
    /// Whether the plan may be found again.
    kept: AtomicBool,
}

/// Plans by what they are for, each made once however many threads ask for it, and memory of runs that are over. What was not
/// used for longest goes first; the plan and the memory used last stay.
pub(crate) struct Plans {
    /// Most bytes to keep in constants that plans have made and in memory of runs.
    limit: usize,
    /// Where the model's own constants lie, which do not count.
    owned: HashSet<usize>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    plans: HashMap<Key, Entry>,
    /// Plans that are being made.
    making: HashMap<Key, Slot>,
    /// Memory of runs that are over; the last used is last.
    idle: Vec<(Arc<Ready>, Workspace)>,
    idle_bytes: usize,
    plan_bytes: usize,
    clock: u64,
}

struct Entry {
    ready: Arc<Ready>,
    /// When it was last asked for.
    used: u64,
}

/// Locked while the plan is made.
type Slot = Arc<Mutex<Option<Arc<Ready>>>>;

/// What is let go, to be dropped without holding the lock.
type Dropped = Vec<(Arc<Ready>, Option<Workspace>)>;

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plans {
    /// No plans yet of `model`; see [`crate::Options::plan_memory`] for `limit`.
    pub fn new(model: &Model, limit: usize) -> Plans {
        let constant = |def: &Def| if let Def::Const(t) = def { Some(place(t)) } else { None };
        let constants = model.graphs.iter().flat_map(|g| g.values.iter()).filter_map(|v| constant(&v.def));
        let owned = model.params.iter().map(|p| place(&p.tensor)).chain(constants).collect();
        Plans { limit, owned, kept: Mutex::default() }
    }

    /// The plan for `key`, made by `make` if it is not there. Threads that ask for the same plan wait for the one that makes
    /// it; other plans are made meanwhile.
    pub fn get(&self, key: &Key, make: impl FnOnce() -> Result<Compiled, Error>) -> Result<Arc<Ready>, Error> {
        let slot = {
            let mut kept = lock(&self.kept);
            if let Some(found) = kept.find(key) {
                return Ok(found);
            }
            kept.making.entry(key.clone()).or_default().clone()
        };
        let mut made = bounds::lock(&slot)?;
        if let Some(ready) = &*made {
            return Ok(ready.clone());
        }
        let compiled = make();
        let mut kept = lock(&self.kept);
        kept.making.remove(key);
        let ready = match kept.find(key) {
            Some(found) => found,
            None => Arc::new(Ready { compiled: compiled?, kept: AtomicBool::new(true) }),
        };
        *made = Some(ready.clone());
        let dropped = self.keep(&mut kept, key, &ready);
        drop(kept);
        drop(dropped);
        Ok(ready)
    }

    /// Memory to run a plan with, that of an earlier run if there is any.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn take(&self, ready: &Arc<Ready>) -> Result<Workspace, Error> {
        let idle = {
            let mut kept = lock(&self.kept);
            let at = kept.idle.iter().rposition(|(r, _)| Arc::ptr_eq(r, ready));
            at.map(|at| kept.remove_idle(at))
        };
        idle.map_or_else(|| bounds::kept(|| ready.compiled.workspace()), |(_, workspace)| Ok(workspace))
    }

    /// Keeps memory for a later run.
    pub fn give(&self, ready: &Arc<Ready>, workspace: Workspace) {
        let mut kept = lock(&self.kept);
        if ready.kept.load(Ordering::Relaxed) {
            kept.idle_bytes += ready.compiled.workspace_bytes();
            kept.idle.push((ready.clone(), workspace));
            let dropped = self.trim(&mut kept);
            drop(kept);
            drop(dropped);
        }
    }

    fn keep(&self, kept: &mut Kept, key: &Key, ready: &Arc<Ready>) -> Dropped {
        let used = kept.tick();
        kept.plans.insert(key.clone(), Entry { ready: ready.clone(), used });
        kept.plan_bytes = self.plan_bytes(kept);
        self.trim(kept)
    }

    fn trim(&self, kept: &mut Kept) -> Dropped {
        let mut dropped = Vec::new();
        while kept.plans.len() > MAX_PLANS || kept.plans.len() > 1 && kept.plan_bytes > self.limit {
            kept.evict(&mut dropped);
            kept.plan_bytes = self.plan_bytes(kept);
        }
        while kept.idle.len() > 1 && kept.plan_bytes + kept.idle_bytes > self.limit {
            let (ready, workspace) = kept.remove_idle(0);
            dropped.push((ready, Some(workspace)));
        }
        dropped
    }

    /// Bytes of the constants that plans have made, each counted once, and of the keys.
    fn plan_bytes(&self, kept: &Kept) -> usize {
        let constants = kept.plans.values().flat_map(|e| e.ready.compiled.constants());
        let made = constants.map(|t| (place(t), t.bytes().len())).filter(|(at, _)| !self.owned.contains(at));
        let distinct: HashMap<usize, usize> = made.collect();
        distinct.values().sum::<usize>() + kept.plans.keys().map(Key::bytes).sum::<usize>()
    }
}

impl Spare for Plans {
    fn release(&self) {
        let mut dropped = Vec::new();
        let mut kept = lock(&self.kept);
        while !kept.plans.is_empty() {
            kept.evict(&mut dropped);
        }
        kept.plan_bytes = 0;
        drop(kept);
        drop(dropped);
    }
}

impl Kept {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn find(&mut self, key: &Key) -> Option<Arc<Ready>> {
        let now = self.tick();
        let entry = self.plans.get_mut(key)?;
        entry.used = now;
        Some(entry.ready.clone())
    }

    fn remove_idle(&mut self, at: usize) -> (Arc<Ready>, Workspace) {
        let (ready, workspace) = self.idle.remove(at);
        self.idle_bytes -= ready.compiled.workspace_bytes();
        (ready, workspace)
    }

    /// Lets go of the plan that was not asked for the longest, with its memory.
    fn evict(&mut self, dropped: &mut Dropped) {
        let oldest = self.plans.iter().min_by_key(|(_, e)| e.used).map(|(key, _)| key.clone());
        let Some(Entry { ready, .. }) = oldest.and_then(|key| self.plans.remove(&key)) else { return };
        ready.kept.store(false, Ordering::Relaxed);
        while let Some(at) = self.idle.iter().position(|(r, _)| Arc::ptr_eq(r, &ready)) {
            let (ready, workspace) = self.remove_idle(at);
            dropped.push((ready, Some(workspace)));
        }
        dropped.push((ready, None));
    }
}

/// Where a tensor's elements lie, which tells it from all others that exist at the same time.
fn place(tensor: &Tensor) -> usize {
    tensor.bytes().as_ptr().addr()
}
