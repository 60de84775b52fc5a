//! Running a plan.

use mindir_graph::{Buffer, Tensor, bounds};
use mindir_kernels::device::Run;
use smallvec::SmallVec;

use super::{Feed, Plan, Target};
use crate::Error;

/// One thread's memory for a [`Plan`].
pub(crate) struct State {
    runs: Vec<Box<dyn Run>>,
    host: Vec<Buffer>,
}

impl Plan {
    /// Memory for one run at a time.
    pub(crate) fn state(&self) -> Result<State, Error> {
        Ok(State {
            runs: self.stages.iter().map(|s| s.program.clone().session()).collect(),
            host: self.host.iter().map(|&n| Buffer::new(n)).collect::<Result<_, _>>()?,
        })
    }

    /// A buffer for every result.
    pub(crate) fn buffers(&self) -> Result<Vec<Buffer>, Error> {
        Ok(self.results.iter().map(|r| Buffer::new(r.fact.bytes())).collect::<Result<_, _>>()?)
    }

    /// Runs all stages. `results` are as [`Plan::buffers`] makes them. With `nanos`, adds the time of every step.
    pub(crate) fn run(
        &self,
        state: &mut State,
        inputs: &[&[u8]],
        params: &[Tensor],
        results: &mut [Buffer],
        mut nanos: Option<&mut [u64]>,
    ) -> Result<(), Error> {
        let mut first = 0;
        for (stage, run) in self.stages.iter().zip(&mut state.runs) {
            bounds::check()?;
            // What the stage writes is taken out, so that the rest can be read meanwhile.
            let mut written: SmallVec<[Buffer; 8]> =
                stage.outs.iter().map(|t| std::mem::take(at(*t, &mut state.host, results))).collect();
            let done = {
                let ins: SmallVec<[&[u8]; 32]> =
                    stage.ins.iter().map(|f| bytes(f, inputs, params, &state.host, results)).collect();
                let mut outs: SmallVec<[&mut [u8]; 32]> = written.iter_mut().map(Buffer::bytes_mut).collect();
                match nanos.as_deref_mut() {
                    Some(nanos) => {
                        let steps = self.report_len(first);
                        let done = run.profile(&ins, &mut outs, &mut nanos[steps.clone()]);
                        first = steps.end;
                        done
                    }
                    None => run.run(&ins, &mut outs),
                }
            };
            for (t, b) in stage.outs.iter().zip(written.drain(..)) {
                *at(*t, &mut state.host, results) = b;
            }
            done?;
        }
        for i in 0..self.results.len() {
            if let Some(feed) = &self.results[i].copy_of {
                let mut target = std::mem::take(&mut results[i]);
                let copied = target.copy_from(bytes(feed, inputs, params, &state.host, results));
                results[i] = target;
                copied?;
            }
        }
        Ok(())
    }

    /// Indices of the steps of the stage that starts at step `first`.
    fn report_len(&self, first: usize) -> std::ops::Range<usize> {
        let mut start = 0;
        for s in &self.report {
            if start == first {
                return first..first + s.steps.len();
            }
            start += s.steps.len();
        }
        first..first
    }
}

fn at<'a>(t: Target, host: &'a mut [Buffer], results: &'a mut [Buffer]) -> &'a mut Buffer {
    match t {
        Target::Host(i) => &mut host[i],
        Target::Result(i) => &mut results[i],
    }
}

fn bytes<'a>(
    feed: &'a Feed,
    inputs: &[&'a [u8]],
    params: &'a [Tensor],
    host: &'a [Buffer],
    results: &'a [Buffer],
) -> &'a [u8] {
    match feed {
        Feed::Input(i) => inputs[*i],
        Feed::Param(p) => params[*p].bytes(),
        Feed::Const(t) => t.bytes(),
        Feed::Buffer(Target::Host(i)) => host[*i].bytes(),
        Feed::Buffer(Target::Result(i)) => results[*i].bytes(),
    }
}
