//! Tasks that are an operator's own reference.

use mindir_graph::task::{Host, Task};
use mindir_graph::{Fact, Tensor, aligned_copy};

use super::gang::Gang;
use super::kernel::{CpuKernel, Failed, Io};
use super::{Build, Candidate};
use crate::device::Declined;

/// Kernels of the host family.
pub const CANDIDATES: &[Candidate] = &[Candidate {
    accepts: |_, view| matches!(view.task, Task::Host(_)),
    name: |_, _| "host".into(),
    in_place: |_| Vec::new(),
    build,
}];

fn build(b: &mut Build<'_>) -> Result<Box<dyn CpuKernel>, Declined> {
    let Task::Host(host) = b.view.task else { return Err(Declined("not a host task".into())) };
    Ok(Box::new(OnHost { host: host.clone(), ins: b.view.ins.to_vec(), known: b.view.known.to_vec() }))
}

struct OnHost {
    host: Host,
    ins: Vec<Fact>,
    known: Vec<Option<Tensor>>,
}

impl CpuKernel for OnHost {
    fn name(&self) -> &str {
        "host"
    }

    fn run(&self, io: &mut Io<'_>, _: &mut Gang) -> Result<(), Failed> {
        let mut ins = Vec::with_capacity(self.ins.len());
        for (i, fact) in self.ins.iter().enumerate() {
            let tensor = match &self.known[i] {
                Some(t) => t.clone(),
                None => Tensor::from_bytes(fact.dtype, &fact.shape, aligned_copy(io.operand_bytes(i)?))
                    .map_err(|e| Failed(e.to_string()))?,
            };
            ins.push(tensor);
        }
        let outs = self.host.run(&ins).map_err(|e| Failed(e.to_string()))?;
        for (i, out) in outs.iter().enumerate() {
            io.result_bytes(i)?.copy_from_slice(out.bytes());
        }
        Ok(())
    }
}
