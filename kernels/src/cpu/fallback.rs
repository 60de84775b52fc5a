//! Tasks without a kernel of their own: the plain form on copies of the operands.

use mindir_graph::task::Task;
use mindir_graph::{DType, Fact, Tensor, aligned_copy, bounds};

use super::gang::Gang;
use super::kernel::{CpuKernel, Failed, Io};
use super::{Build, Candidate, Isa};
use crate::device::{Refused, TaskView};
use crate::plain;

/// The kernel that is left when a family offers none: it takes everything but complex numbers.
pub const CANDIDATE: &Candidate = &Candidate { accepts, name: |_, view| name(view), in_place: |_| Vec::new(), build };

fn accepts(_: Isa, view: &TaskView<'_>) -> bool {
    let real = |d: DType| !d.is_complex();
    matches!(view.task, Task::Host(_) | Task::Copy(_) | Task::Gather(_))
        || view.ins.iter().chain(view.outs).all(|f| real(f.dtype))
}

fn name(view: &TaskView<'_>) -> String {
    match (view.task, view.outs.first()) {
        (Task::Host(_), _) | (_, None) => "host".into(),
        (_, Some(out)) => format!("plain-{}", out.dtype),
    }
}

fn build(b: &mut Build<'_>) -> Result<Box<dyn CpuKernel>, Refused> {
    Ok(Box::new(Fallback {
        name: name(&b.view),
        task: b.view.task.clone(),
        ins: b.view.ins.to_vec(),
        known: b.view.known.to_vec(),
        outs: b.view.outs.to_vec(),
    }))
}

/// Bytes that a thread copies at a time.
const CHUNK: usize = 1 << 20;

fn copy(from: &[u8], to: &mut [u8], gang: &mut Gang) {
    gang.parallel_pieces(to, CHUNK, |i, to| to.copy_from_slice(&from[i * CHUNK..][..to.len()]));
}

struct Fallback {
    name: String,
    task: Task,
    ins: Vec<Fact>,
    known: Vec<Option<Tensor>>,
    outs: Vec<Fact>,
}

impl CpuKernel for Fallback {
    fn name(&self) -> &str {
        &self.name
    }

    fn heap(&self) -> usize {
        let count = self.ins.iter().chain(&self.outs).map(Fact::count).fold(0usize, usize::saturating_add);
        count.saturating_mul(bounds::NUMBERS)
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let mut ins = Vec::with_capacity(self.ins.len());
        for (i, fact) in self.ins.iter().enumerate() {
            let bytes = match &self.known[i] {
                Some(t) => t.bytes().clone(),
                None => aligned_copy(io.operand_bytes(i)?)?,
            };
            ins.push(Tensor::from_bytes(fact.dtype, &fact.shape, bytes)?);
        }
        let outs = plain::run(&self.task, &ins, &self.outs)?;
        for (i, out) in outs.iter().enumerate() {
            copy(out.bytes(), io.result_bytes(i)?, gang);
        }
        Ok(())
    }
}
