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
    /// long as the last one; `cancel` ends it too.
    pub fn run<T: Send>(
        &self,
        py: Python<'_>,
        is_alike: bool,
        cancel: Option<&CancelToken>,
        work: impl FnOnce(Option<CancelToken>) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let start = Instant::now();
        let done = if is_alike && self.is_quick.load(Ordering::Relaxed) || !is_main(py)? {
            py.detach(|| work(cancel.cloned())).map_err(raised)
        } else {
            watched(py, cancel, work)
        };
        self.is_quick.store(start.elapsed() < 2 * PATIENCE, Ordering::Relaxed);
        done
    }
}

fn is_main(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    Ok(threading.call_method0("current_thread")?.is(&threading.call_method0("main_thread")?))
}

fn watched<T: Send>(
    py: Python<'_>,
    cancel: Option<&CancelToken>,
    work: impl FnOnce(Option<CancelToken>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let token = CancelToken::new();
    if cancel.is_some_and(CancelToken::is_cancelled) {
        token.cancel();
    }
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
                if cancel.is_some_and(CancelToken::is_cancelled) {
                    token.cancel();
                }
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

/// Ends runs from another thread: those of cells that `GraphCell.with_cancel` gives, and of sessions that `Session.set_cancel` gives it.
///
/// >>> import mindir, numpy
/// >>> token = mindir.CancelToken()
/// >>> cell = mindir.GraphCell(mindir.load("examples/digits/lenet5.mindir")).with_cancel(token)
/// >>> token.cancel()
/// >>> try:
/// ...     cell(numpy.zeros((1, 1, 32, 32), numpy.float32))
/// ... except mindir.CancelledError:
/// ...     print("cancelled")
/// cancelled
#[pyclass(frozen, module = "mindir", name = "CancelToken")]
#[derive(Default)]
pub struct Cancel {
    pub token: CancelToken,
}

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends the runs that have the token, within a twentieth of a second or so, and all that begin later.
    fn cancel(&self) {
        self.token.cancel();
    }

    /// Whether it was cancelled.
    #[getter]
    fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }
}
