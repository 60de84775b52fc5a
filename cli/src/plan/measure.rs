//! How long the steps of a plan take on this machine, and what the machine can do at most.

use std::time::Duration;

use mindir::{GraphCell, StepReport, Tensor};

use crate::bench::runner::Runner;
use crate::doctor;
use crate::failure::Failure;

/// How long the steps are measured.
const TIME: Duration = Duration::from_millis(500);

/// Rows, columns and depth of the matrix product that stands for arithmetic.
const SIDE: usize = 512;
/// Elements of the stream that stands for memory: more than caches hold.
const STREAM: usize = 1 << 24;

/// What was measured.
pub struct Measured {
    /// Nanoseconds of each step of the plan in order, where it ran.
    pub steps: Vec<Option<u64>>,
    /// Nanoseconds of a whole run.
    pub whole: u64,
    /// Billions of floating-point operations in a second that a product of matrices reaches.
    gflops: f64,
    /// Billions of bytes in a second that an element-wise operator reads and writes.
    gbytes: f64,
}

impl Measured {
    /// Measures the steps of a plan for these inputs.
    pub fn of<'a>(
        cell: GraphCell,
        inputs: Vec<Tensor>,
        steps: impl Iterator<Item = &'a StepReport>,
        threads: usize,
    ) -> Result<Measured, Failure> {
        let mut runner = Runner::new(cell, inputs)?;
        runner.run()?;
        let profile = runner.profile(TIME)?;
        let (gflops, gbytes) = (doctor::gflops(SIDE, threads)?, doctor::stream(STREAM, threads)?);
        Ok(Measured { steps: profile.times(steps), whole: profile.whole(), gflops, gbytes })
    }

    /// The part of what the machine can do that a step reaches, in percent, and what of: arithmetic or memory, whichever is more.
    pub fn of_peak(&self, step: &StepReport, nanos: u64) -> (f64, &'static str) {
        let nanos = nanos.max(1) as f64;
        let (arithmetic, memory) = (step.flops as f64 / nanos / self.gflops, step.bytes as f64 / nanos / self.gbytes);
        if arithmetic >= memory { (100.0 * arithmetic, "arithmetic") } else { (100.0 * memory, "memory") }
    }

    /// The machine in words.
    pub fn machine(&self) -> String {
        format!("{:.1} GFLOP/s and {:.1} GB/s", self.gflops, self.gbytes)
    }
}
