//! Signals that end a training.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

/// Whether a signal asked the training to end.
pub struct Stop {
    is_asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Notes the first signal; another one ends the process.
    pub fn on_signals() -> Result<Stop, Failure> {
        let stop = Stop { is_asked: Arc::default(), signal: Arc::default() };
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup()) {
            let code = 128 + signal;
            flag::register_conditional_shutdown(signal, code, stop.is_asked.clone())
                .and_then(|_| flag::register_usize(signal, stop.signal.clone(), signal as usize))
                .and_then(|_| flag::register(signal, stop.is_asked.clone()))
                .map_err(Failure::file("signals".as_ref()))?;
        }
        Ok(stop)
    }

    pub fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// The exit code that shells know the signal by.
    pub fn code(&self) -> u8 {
        u8::try_from(128 + self.signal.load(Ordering::Relaxed)).unwrap_or(u8::MAX)
    }
}

/// The signal of a terminal that went away, unless the process was told to ignore it, as by nohup.
#[cfg(unix)]
fn hangup() -> Option<i32> {
    use signal_hook::consts::SIGHUP;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())?;
    (ignored >> (SIGHUP - 1) & 1 == 0).then_some(SIGHUP)
}

#[cfg(not(unix))]
fn hangup() -> Option<i32> {
    None
}
