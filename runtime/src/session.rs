//! Repeated runs without allocation.

use std::sync::Arc;

use mindir_graph::{Buffer, Element, Fact, TensorError};

use crate::plan::State;
use crate::plans::Ready;
use crate::{Error, GraphCell, InputError};

/// One thread's hold on a [`GraphCell`] for inputs of fixed facts. Runs reuse all memory; results stay until the next run.
pub struct Session {
    cell: GraphCell,
    ready: Arc<Ready>,
    state: State,
    facts: Vec<Fact>,
    /// For each input of the plan, the index of the model's input.
    order: Vec<usize>,
    /// For each result of the model, the index of the plan's result, or of the model's input that it is.
    results: Vec<usize>,
    buffers: Vec<Buffer>,
}

impl Session {
    pub(crate) fn new(cell: GraphCell, ready: Arc<Ready>, facts: Vec<Fact>) -> Result<Session, Error> {
        let graph = cell.model().entry();
        let live = crate::interpret::live(graph, 0);
        let order = live.iter().filter_map(|v| graph.inputs.iter().position(|i| i == v)).collect();
        let results = graph.outputs.iter().filter_map(|v| ready.plan.outputs.iter().position(|o| o == v)).collect();
        let (state, buffers) = (ready.plan.state(), ready.plan.buffers());
        Ok(Session { cell, ready, state, facts, order, results, buffers })
    }

    /// Facts of the inputs.
    pub fn inputs(&self) -> &[Fact] {
        &self.facts
    }

    /// Runs the model on dense little-endian bytes, one slice per input.
    ///
    /// # Errors
    /// [`Error::Input`] if a slice has the wrong length or their number is wrong; [`Error::Device`].
    pub fn run_bytes(&mut self, inputs: &[&[u8]]) -> Result<(), Error> {
        self.run_timed(inputs, None)
    }

    /// As [`Session::run_bytes`], and adds the nanoseconds of every step of the plan to `nanos`.
    ///
    /// # Errors
    /// As [`Session::run_bytes`].
    pub fn profile(&mut self, inputs: &[&[u8]], nanos: &mut [u64]) -> Result<(), Error> {
        self.run_timed(inputs, Some(nanos))
    }

    fn run_timed(&mut self, inputs: &[&[u8]], nanos: Option<&mut [u64]>) -> Result<(), Error> {
        if inputs.len() != self.facts.len() {
            let names = self.cell.inputs().into_iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
            return Err(InputError::Count { expected: self.facts.len(), names, found: inputs.len() }.into());
        }
        for (i, (bytes, fact)) in inputs.iter().zip(&self.facts).enumerate() {
            if bytes.len() != fact.bytes() || !(bytes.as_ptr() as usize).is_multiple_of(fact.dtype.align()) {
                let name = self.cell.inputs()[i].name.clone();
                let found = Fact::new(fact.dtype, &[bytes.len() / fact.dtype.size()]);
                return Err(InputError::Session { name, expected: fact.clone(), found }.into());
            }
        }
        let ordered: smallvec::SmallVec<[&[u8]; 32]> = self.order.iter().map(|&i| inputs[i]).collect();
        self.ready.plan.run(&mut self.state, &ordered, &[], &mut self.buffers, nanos)
    }

    /// Runs the model on typed slices of one element type, one per input.
    ///
    /// # Errors
    /// As [`Session::run_bytes`].
    pub fn run<T: Element>(&mut self, inputs: &[&[T]]) -> Result<(), Error> {
        let bytes: smallvec::SmallVec<[&[u8]; 32]> = inputs.iter().map(|x| bytemuck::cast_slice(x)).collect();
        self.run_bytes(&bytes)
    }

    /// Number of results.
    pub fn output_count(&self) -> usize {
        self.results.len()
    }

    /// Element type and shape of result `i`.
    pub fn output_fact(&self, i: usize) -> &Fact {
        &self.ready.plan.results[self.results[i]].fact
    }

    /// Bytes of result `i` of the last run.
    pub fn output_bytes(&self, i: usize) -> &[u8] {
        self.buffers[self.results[i]].bytes()
    }

    /// Result `i` of the last run as a typed slice.
    ///
    /// # Errors
    /// [`TensorError::DType`] if `T` is another type.
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T], TensorError> {
        let found = self.output_fact(i).dtype;
        if found != T::DTYPE {
            return Err(TensorError::DType { expected: T::DTYPE, found });
        }
        Ok(bytemuck::cast_slice(self.output_bytes(i)))
    }

    /// The plan that the session runs.
    pub fn plan(&self) -> &crate::Plan {
        &self.ready.plan
    }
}
