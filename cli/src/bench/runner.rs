//! Running a model again and again.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use mindir::{Error, Fact, GraphCell, Session, Tensor};

use super::profile::{Profiled, Samples};
use crate::failure::Failure;

/// Something that runs a model again and again on the same inputs.
pub enum Runner {
    Session { session: Box<Session>, inputs: Vec<Tensor> },
    Cell { cell: GraphCell, inputs: Vec<Tensor> },
}

impl Runner {
    pub fn new(cell: GraphCell, inputs: Vec<Tensor>) -> Result<Runner, Failure> {
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        match cell.session(&facts) {
            Ok(session) => Ok(Runner::Session { session: Box::new(session), inputs }),
            Err(Error::NotStraight(_)) => Ok(Runner::Cell { cell, inputs }),
            Err(e) => Err(e.into()),
        }
    }

    /// Time of one run in nanoseconds.
    pub fn run(&mut self) -> Result<u64, Failure> {
        match self {
            Runner::Session { session, inputs } => {
                let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
                let start = Instant::now();
                session.run_bytes(&bytes)?;
                Ok(start.elapsed().as_nanos() as u64)
            }
            Runner::Cell { cell, inputs } => {
                let start = Instant::now();
                let results = cell.run(inputs)?;
                let time = start.elapsed().as_nanos() as u64;
                drop(results);
                Ok(time)
            }
        }
    }

    /// Runs until `time` is over, at least `least` times.
    pub fn run_for(&mut self, time: Duration, least: usize, bar: &ProgressBar) -> Result<Vec<u64>, Failure> {
        let start = Instant::now();
        let mut out = Vec::new();
        while out.len() < least || start.elapsed() < time {
            out.push(self.run()?);
            bar.set_position(start.elapsed().min(time).as_millis() as u64);
        }
        Ok(out)
    }

    /// Floating-point operations of one run, where the plan tells them.
    pub fn flops(&self) -> Option<u64> {
        match self {
            Runner::Session { session, .. } => Some(session.plan().flops()),
            Runner::Cell { .. } => None,
        }
    }

    /// Runs until `time` is over, at least once, and says where the time goes.
    pub fn profile(&mut self, time: Duration) -> Result<Profiled, Failure> {
        let mut samples = match self {
            Runner::Session { session, .. } => Samples::of_plan(session.plan()),
            Runner::Cell { .. } => Samples::default(),
        };
        let start = Instant::now();
        while samples.is_empty() || start.elapsed() < time {
            self.sample(&mut samples)?;
        }
        Ok(samples.summed())
    }

    /// One run with the time of every step.
    fn sample(&mut self, samples: &mut Samples) -> Result<(), Failure> {
        match self {
            Runner::Session { session, inputs } => {
                let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
                let mut nanos = vec![0; samples.steps()];
                let start = Instant::now();
                session.profile(&bytes, &mut nanos)?;
                samples.add(start.elapsed(), &nanos);
            }
            Runner::Cell { cell, inputs } => samples.add_profile(&cell.profile(inputs)?.1),
        }
        Ok(())
    }
}
