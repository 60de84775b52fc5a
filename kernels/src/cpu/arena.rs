//! Memory of runs, lent to one run after another whatever they compute.

use std::cmp::Reverse;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mindir_graph::bounds::{self, Exceeded, Spare};

use super::memory::Block;

/// So many runs in a row that need less than half of an arena let it go: more than a loop of small runs takes between two of a
/// large one.
const PATIENCE: u32 = 4096;

/// Memory for one run at a time.
pub(super) struct Arena {
    pub memory: Block<u8>,
    /// How many of the last runs in a row needed less than half of it.
    loose: u32,
}

impl Arena {
    /// Of `bytes` or up to an eighth more, so that slightly larger runs find room in it.
    fn new(bytes: usize) -> Result<Arena, Exceeded> {
        let step = (bytes / 8).next_power_of_two();
        let whole = bytes.checked_next_multiple_of(step).unwrap_or(bytes);
        let memory = bounds::kept(|| Block::zeroed(whole).or_else(|_| Block::zeroed(bytes)))?;
        Ok(Arena { memory, loose: 0 })
    }
}

/// The arenas that no run uses; the last used is last.
pub(super) struct Arenas {
    /// Most bytes to keep; the arena used last stays, whatever it takes.
    limit: usize,
    idle: Mutex<Vec<Arena>>,
}

impl Arenas {
    pub fn new(limit: usize) -> Arenas {
        Arenas { limit, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arena>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An arena of `bytes` or more. Whatever another run left is in it.
    ///
    /// # Errors
    /// As [`Block::zeroed`].
    pub fn take(&self, bytes: usize) -> Result<Arena, Exceeded> {
        let mut idle = self.idle();
        let fitting = (0..idle.len()).filter(|&i| idle[i].memory.len() >= bytes);
        let best = fitting.min_by_key(|&i| (idle[i].memory.len(), Reverse(i)));
        // One that is too small makes room for the new one.
        let found = best.or_else(|| idle.len().checked_sub(1)).map(|i| idle.remove(i));
        drop(idle);
        match found {
            Some(arena) if best.is_some() => Ok(arena),
            _ => {
                drop(found);
                Arena::new(bytes)
            }
        }
    }

    /// Takes an arena back from a run that needed `bytes` of it.
    pub fn give(&self, mut arena: Arena, bytes: usize) {
        arena.loose = if bytes < arena.memory.len() / 2 { arena.loose + 1 } else { 0 };
        if arena.loose >= PATIENCE {
            return;
        }
        let mut idle = self.idle();
        idle.push(arena);
        let mut total: usize = idle.iter().map(|a| a.memory.len()).sum();
        let beyond = (0..idle.len() - 1).take_while(|&i| {
            let over = total > self.limit;
            total -= idle[i].memory.len();
            over
        });
        let beyond = beyond.count();
        let dropped: Vec<Arena> = idle.drain(..beyond).collect();
        drop(idle);
        drop(dropped);
    }
}

impl Spare for Arenas {
    fn release(&self) {
        let dropped = std::mem::take(&mut *self.idle());
        drop(dropped);
    }
}

impl fmt::Debug for Arenas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arenas").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(arenas: &Arenas) -> Vec<usize> {
        arenas.idle().iter().map(|a| a.memory.len()).collect()
    }

    #[test]
    fn the_smallest_that_fits_is_lent() {
        let arenas = Arenas::new(usize::MAX);
        let all = [3000, 1000, 2000].map(|n| arenas.take(n).unwrap());
        for (arena, n) in all.into_iter().zip([3000, 1000, 2000]) {
            arenas.give(arena, n);
        }
        let lent = arenas.take(1500).unwrap();
        assert!((2000..2500).contains(&lent.memory.len()));
        arenas.give(lent, 1500);
        assert_eq!(arenas.idle().len(), 3);
        let large = arenas.take(5000).unwrap();
        assert!(large.memory.len() >= 5000);
        assert_eq!(arenas.idle().len(), 2, "one makes room");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let arenas = Arenas::new(2500);
        let all = [1024; 4].map(|n| arenas.take(n).unwrap());
        all.into_iter().for_each(|arena| arenas.give(arena, 1024));
        assert_eq!(lengths(&arenas), [1024; 2]);
        let large = arenas.take(1 << 20).unwrap();
        arenas.give(large, 1 << 20);
        assert_eq!(lengths(&arenas), [1 << 20], "the last one stays");
    }

    #[test]
    fn an_arena_that_is_too_large_for_long_is_let_go() {
        let arenas = Arenas::new(usize::MAX);
        for bytes in std::iter::once(1 << 20).chain(std::iter::repeat_n(1 << 10, PATIENCE as usize)) {
            let arena = arenas.take(bytes).unwrap();
            arenas.give(arena, bytes);
        }
        assert_eq!(lengths(&arenas), []);
        let small = arenas.take(1 << 10).unwrap();
        assert_eq!(small.memory.len(), 1 << 10);
    }
}
