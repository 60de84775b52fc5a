//! Tasks without a kernel of their own: the plain form on copies of the operands.

use mindir_graph::bounds;
use mindir_graph::task::Task;
use mindir_graph::{Fact, Tensor, aligned_copy};

use super::gang::Gang;
use super::kernel::{CpuKernel, Failed, Io};
use super::packed::Constants;
use crate::device::{Declined, Refused, TaskView};
use crate::plain;

/// The kernel that is left when a family offers none.
///
/// # Errors
/// If the task computes with complex numbers.
pub fn offer(view: &TaskView<'_>) -> Result<Box<dyn CpuKernel>, Declined> {
    if let Task::Attention(_) = view.task {
        return Err(Declined("it has kernels for the parts of this attention only".into()));
    }
    let moves = matches!(view.task, Task::Host(_) | Task::Copy(_) | Task::Gather(_));
    if let Some(complex) = view.ins.iter().chain(view.outs).find(|f| f.dtype.is_complex() && !moves) {
        return Err(Declined(format!("{} of {complex}: it does not compute with complex numbers", view.task.family())));
    }
    let name = match (view.task, view.outs.first()) {
        (Task::Host(_), _) | (_, None) => "host".into(),
        (_, Some(out)) => format!("plain-{}", out.dtype),
    };
    let (ins, outs) = (view.ins.to_vec(), view.outs.to_vec());
    Ok(Box::new(Fallback { name, task: view.task.clone(), known: vec![None; ins.len()], ins, outs }))
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
    /// Constants, which need no copy.
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

    fn pack(&mut self, constants: &mut Constants<'_>) -> Result<(), Refused> {
        self.known = constants.known.to_vec();
        Ok(())
    }

    fn reads(&self, i: usize) -> bool {
        self.known.get(i).is_none_or(Option::is_none)
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let mut ins = Vec::with_capacity(self.ins.len());
        for (i, fact) in self.ins.iter().enumerate() {
            ins.push(match self.known.get(i).and_then(Option::as_ref) {
                Some(t) => t.reshape(&fact.shape)?,
                None => Tensor::from_bytes(fact.dtype, &fact.shape, aligned_copy(io.operand_bytes(i)?)?)?,
            });
        }
        let outs = plain::run(&self.task, &ins, &self.outs)?;
        for (i, out) in outs.iter().enumerate() {
            copy(out.bytes(), io.result_bytes(i)?, gang);
        }
        Ok(())
    }
}
