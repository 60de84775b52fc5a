//! Runs without the interpreter's lock, which Ctrl-C ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use mindir::{CancelToken, Error};
use pyo3::prelude::*;

use crate::error::raised;

/// How often Python is asked for signals.
const PATIENCE: Duration = Duration::from_millis(50);

/// Whether runs are so short that nobody needs to interrupt them, as the last one tells.
#[derive(Default)]
pub struct Pace {
    is_quick: AtomicBool,
}

impl Pace {
    /// What `work` answers. On the main thread, where Python looks for signals, a run that may take long goes on in another
    /// thread, and ends with the token that it is given once there is a signal whose handler raises. `is_alike` says that it takes as
    /// long as the last one.
    pub fn run<T: Send>(
        &self,
        py: Python<'_>,
        is_alike: bool,
        work: impl FnOnce(Option<CancelToken>) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let start = Instant::now();
        let done = if is_alike && self.is_quick.load(Ordering::Relaxed) || !is_main(py)? {
            py.detach(|| work(None)).map_err(raised)
        } else {
            watched(py, work)
        };
        self.is_quick.store(start.elapsed() < 2 * PATIENCE, Ordering::Relaxed);
        done
    }
}

fn is_main(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    Ok(threading.call_method0("current_thread")?.is(&threading.call_method0("main_thread")?))
}

fn watched<T: Send>(py: Python<'_>, work: impl FnOnce(Option<CancelToken>) -> Result<T, Error> + Send) -> PyResult<T> {
    let token = CancelToken::new();
    let given = token.clone();
    let (done, ended) = mpsc::sync_channel::<()>(0);
    py.detach(move || {
        thread::scope(|scope| {
            let worker = move || {
                let _ends = done;
                work(Some(given))
            };
            let worker = thread::Builder::new().spawn_scoped(scope, worker)?;
            let mut signal = None;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PATIENCE) {
                if signal.is_none() {
                    signal = Python::attach(|py| py.check_signals()).err();
                    signal.iter().for_each(|_| token.cancel());
                }
            }
            let result = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            signal.map_or(result.map_err(raised), Err)
        })
    })
}
