//! Helpers that wait to be called, and are called without allocating.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Calls for each helper that may wait at one time without a larger queue, which stays: so many gangs as share the helpers.
const ROOM: usize = 16;

/// Calls that nobody has taken yet.
struct Calls<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// Where helpers wait.
struct Desk<T> {
    calls: Mutex<Calls<T>>,
    called: Condvar,
}

impl<T> Desk<T> {
    fn calls(&self) -> MutexGuard<'_, Calls<T>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call, once there is one; `None` when the desk is closed.
    fn next(&self) -> Option<T> {
        let mut calls = self.calls();
        loop {
            if calls.closed {
                return None;
            }
            if let Some(call) = calls.waiting.pop_front() {
                return Some(call);
            }
            calls = self.called.wait(calls).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Threads that take calls. Dropping it lets them end once they are through with what they do.
pub(super) struct Helpers<T> {
    desk: Arc<Desk<T>>,
}

impl<T: Send + 'static> Helpers<T> {
    /// `count` threads that give each call to `take`, which does not panic.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn new(count: usize, take: fn(T)) -> io::Result<Helpers<T>> {
        let calls = Calls { waiting: VecDeque::with_capacity(ROOM * count), closed: false };
        let helpers = Helpers { desk: Arc::new(Desk { calls: Mutex::new(calls), called: Condvar::new() }) };
        for i in 0..count {
            let desk = helpers.desk.clone();
            let serve = move || {
                while let Some(call) = desk.next() {
                    take(call);
                }
            };
            thread::Builder::new().name(format!("mindir-{}", i + 1)).spawn(serve)?;
        }
        Ok(helpers)
    }

    /// Leaves a call for the next thread that is free.
    pub fn call(&self, call: T) {
        self.desk.calls().waiting.push_back(call);
        self.desk.called.notify_one();
    }
}

impl<T> Drop for Helpers<T> {
    fn drop(&mut self) {
        self.desk.calls().closed = true;
        self.desk.called.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    #[test]
    fn every_call_is_taken_once() {
        let helpers = Helpers::new(3, |(i, answer): (usize, Sender<usize>)| answer.send(i).unwrap()).unwrap();
        let (send, receive) = channel();
        (0..100).for_each(|i| helpers.call((i, send.clone())));
        let mut taken: Vec<usize> = receive.iter().take(100).collect();
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..100));
    }

    #[test]
    fn threads_end_with_their_owner() {
        let (send, receive) = channel::<()>();
        let helpers = Helpers::new(2, drop::<Sender<()>>).unwrap();
        helpers.call(send);
        let desk = Arc::downgrade(&helpers.desk);
        drop(helpers);
        while desk.strong_count() > 0 {
            thread::yield_now();
        }
        assert!(receive.recv().is_err());
    }
}
