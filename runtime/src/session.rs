//! Repeated runs without allocation.

use std::sync::Arc;
use std::time::Duration;

use mindir_graph::bounds::CancelToken;
use mindir_graph::{Buffer, DType, Element, Fact, TensorError};

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
        let results = graph.outputs.iter().filter_map(|v| ready.compiled.outputs.iter().position(|o| o == v)).collect();
        let (state, buffers) = (ready.compiled.state()?, ready.compiled.buffers()?);
        Ok(Session { cell, ready, state, facts, order, results, buffers })
    }

    /// Ends runs once `token` is cancelled, instead of another token; without one, nobody ends them.
    pub fn set_cancel(&mut self, token: impl Into<Option<CancelToken>>) {
        self.cell.set_cancel(token.into());
    }

    /// How long a run may take, instead of what the cell says.
    pub fn set_deadline(&mut self, deadline: impl Into<Option<Duration>>) {
        self.cell.set_deadline(deadline.into());
    }

    /// Facts of the inputs.
    pub fn inputs(&self) -> &[Fact] {
        &self.facts
    }

    /// Runs the model on dense little-endian bytes, one slice per input, aligned for the element type.
    ///
    /// # Errors
    /// [`Error::Input`] naming the input whose bytes have another length, are misaligned or are no `bool`s, or if the number
    /// of inputs is wrong; [`Error::Device`]; [`Error::Limit`], and the session can run again.
    pub fn run_bytes(&mut self, inputs: &[&[u8]]) -> Result<(), Error> {
        self.run_timed(inputs, None)
    }

    /// As [`Session::run_bytes`], and adds the nanoseconds of every step of the plan to `nanos`.
    ///
    /// # Errors
    /// As [`Session::run_bytes`]; [`InputError::Steps`] if `nanos` has not one number for each step.
    pub fn profile(&mut self, inputs: &[&[u8]], nanos: &mut [u64]) -> Result<(), Error> {
        let expected = self.plan().stages().iter().map(|s| s.steps.len()).sum();
        if nanos.len() != expected {
            return Err(InputError::Steps { expected, found: nanos.len() }.into());
        }
        self.run_timed(inputs, Some(nanos))
    }

    fn run_timed(&mut self, inputs: &[&[u8]], nanos: Option<&mut [u64]>) -> Result<(), Error> {
        self.check_count(inputs.len())?;
        inputs.iter().enumerate().try_for_each(|(i, bytes)| self.check_bytes(i, bytes))?;
        let ordered: smallvec::SmallVec<[&[u8]; 32]> = self.order.iter().map(|&i| inputs[i]).collect();
        let bounds = self.cell.interpreter().lasting(self.cell.halt());
        bounds.enter(|| {
            self.ready.compiled.run(&mut self.state, &ordered, &[], &mut self.buffers, nanos)?;
            self.ready.compiled.copy(&self.state, &ordered, &mut self.buffers)
        })
    }

    fn check_count(&self, found: usize) -> Result<(), InputError> {
        if found == self.facts.len() {
            return Ok(());
        }
        let names = self.cell.inputs().into_iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        Err(InputError::Count { expected: self.facts.len(), names, found })
    }

    fn check_bytes(&self, i: usize, bytes: &[u8]) -> Result<(), InputError> {
        let fact = &self.facts[i];
        if bytes.len() != fact.bytes() {
            return Err(InputError::Length { name: self.name(i), expected: fact.clone(), found: bytes.len() });
        }
        if !bytes.as_ptr().addr().is_multiple_of(fact.dtype.align()) {
            return Err(InputError::Misaligned { name: self.name(i), expected: fact.clone() });
        }
        let wrong = if fact.dtype == DType::Bool { bytes.iter().position(|b| *b > 1) } else { None };
        wrong.map_or(Ok(()), |index| Err(InputError::Bool { name: self.name(i), index, value: bytes[index] }))
    }

    fn name(&self, i: usize) -> String {
        self.cell.inputs().into_iter().nth(i).map(|p| p.name).unwrap_or_default()
    }

    /// Runs the model on typed slices of one element type, one per input; a `bool` input takes `u8`.
    ///
    /// # Errors
    /// As [`Session::run_bytes`]; [`InputError::DType`] naming an input of another type than `T`.
    pub fn run<T: Element>(&mut self, inputs: &[&[T]]) -> Result<(), Error> {
        let is = |dtype: DType| dtype == T::DTYPE || dtype == DType::Bool && T::DTYPE == DType::U8;
        if let Some(i) = self.facts.iter().position(|f| !is(f.dtype)) {
            let (name, expected) = (self.name(i), self.facts[i].dtype);
            return Err(InputError::DType { name, expected, found: T::DTYPE }.into());
        }
        let bytes: smallvec::SmallVec<[&[u8]; 32]> = inputs.iter().map(|x| bytemuck::cast_slice(x)).collect();
        self.run_bytes(&bytes)
    }

    /// Number of results.
    pub fn output_count(&self) -> usize {
        self.results.len()
    }

    /// Element type and shape of result `i`, if the model has as many.
    pub fn output_fact(&self, i: usize) -> Option<&Fact> {
        Some(&self.ready.compiled.results[*self.results.get(i)?].fact)
    }

    /// Bytes of result `i` of the last run, if the model has as many.
    pub fn output_bytes(&self, i: usize) -> Option<&[u8]> {
        Some(self.buffers[*self.results.get(i)?].bytes())
    }

    /// Result `i` of the last run as a typed slice.
    ///
    /// # Errors
    /// [`InputError::Output`] if the model has no such result; [`TensorError::DType`] if `T` is another type.
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T], Error> {
        let missing = InputError::Output { index: i, count: self.results.len() };
        let (Some(fact), Some(bytes)) = (self.output_fact(i), self.output_bytes(i)) else { return Err(missing.into()) };
        if fact.dtype != T::DTYPE {
            return Err(TensorError::DType { expected: T::DTYPE, found: fact.dtype }.into());
        }
        Ok(bytemuck::cast_slice(bytes))
    }

    /// The plan that the session runs.
    pub fn plan(&self) -> &crate::Plan {
        &self.ready.compiled.plan
    }
}
