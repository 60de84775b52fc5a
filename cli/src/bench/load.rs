//! Several runs at the same time.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::runner::Runner;
use crate::failure::Failure;

/// What runs at the same time took.
pub struct Times {
    /// Of every run in nanoseconds, shortest first.
    pub runs: Vec<u64>,
    /// Runs that ended in a second.
    pub per_second: f64,
}

/// Lets all runners run until `time` is over, each at least `least` times.
pub fn measure(runners: &mut [Runner], time: Duration, least: usize, bar: &ProgressBar) -> Result<Times, Failure> {
    let start = Barrier::new(runners.len());
    let one = |runner: &mut Runner| {
        start.wait();
        let began = Instant::now();
        let times = runner.run_for(time, least, bar)?;
        Ok::<_, Failure>((times, began.elapsed()))
    };
    let ended: Vec<_> = match runners {
        [runner] => vec![one(runner)],
        runners => thread::scope(|scope| {
            let threads: Vec<_> = runners.iter_mut().map(|runner| scope.spawn(|| one(runner))).collect();
            threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        }),
    };
    let (mut runs, mut per_second) = (Vec::new(), 0.0);
    for one in ended {
        let (times, took) = one?;
        per_second += times.len() as f64 / took.as_secs_f64().max(1e-9);
        runs.extend(times);
    }
    runs.sort_unstable();
    Ok(Times { runs, per_second })
}
