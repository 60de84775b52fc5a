//! Repeated runs without allocation.

use std::sync::Arc;
use std::time::Duration;

use mindir_graph::bounds::CancelToken;
use mindir_graph::{Buffer, DType, Element, Fact, Tensor, TensorError, aligned_copy, no_bool};
use mindir_kernels::device::DeviceTensor;

use crate::plan::Workspace;
use crate::plans::Ready;
use crate::{Error, GraphCell, InputError, Slice, State};

/// One thread's hold on a [`GraphCell`] for inputs of fixed facts. Runs reuse all memory; results stay until the next run.
/// Parameters that the model writes are the session's own, and start as the cell's are.
pub struct Session {
    cell: GraphCell,
    ready: Arc<Ready>,
    workspace: Workspace,
    facts: Vec<Fact>,
    /// For each input of the plan, the index of the model's input.
    order: Vec<usize>,
    /// For each result of the model, the index of the plan's result, or of the model's input that it is.
    results: Vec<usize>,
    buffers: Vec<Buffer>,
    /// What the parameters hold that the model writes; nothing for the others.
    variables: Vec<Buffer>,
    /// Inputs to be filled in place; none until somebody asks for one.
    filled: Vec<Buffer>,
    carried: Vec<Carried>,
    /// Inputs that are tensors in a device's memory.
    bound: Vec<usize>,
}

/// A result that is an input of the next run.
#[derive(Clone, Copy)]
struct Carried {
    /// The index of the plan's result.
    result: usize,
    /// The index of the model's input.
    input: usize,
    /// Whether the result is made where the input lies.
    in_place: bool,
    /// The tensors in a device's memory that the result and the input are, if they are nowhere else.
    device: Option<(usize, usize)>,
    /// Whether the input holds the result.
    moved: bool,
}

impl Session {
    pub(crate) fn new(cell: GraphCell, ready: Arc<Ready>, facts: Vec<Fact>) -> Result<Session, Error> {
        let graph = cell.model().entry();
        let live = crate::interpret::live(graph, 0);
        let order = live.iter().filter_map(|v| graph.inputs.iter().position(|i| i == v)).collect();
        let results = graph.outputs.iter().filter_map(|v| ready.compiled.outputs.iter().position(|o| o == v)).collect();
        let (workspace, buffers) = (ready.compiled.workspace()?, ready.compiled.buffers()?);
        let variables = cell.model().params.iter().map(|_| Buffer::default()).collect();
        let state = cell.new_state();
        let mut session = Session {
            cell,
            ready,
            workspace,
            facts,
            order,
            results,
            buffers,
            variables,
            filled: Vec::new(),
            carried: Vec::new(),
            bound: Vec::new(),
        };
        session.set_state(&state)?;
        Ok(session)
    }

    /// Gives the parameters that the model writes the values of `state`.
    ///
    /// # Errors
    /// [`InputError::State`] if it is the state of another model; [`Error::Limit`].
    pub fn set_state(&mut self, state: &State) -> Result<(), Error> {
        let interpreter = self.cell.interpreter();
        state.check(&interpreter.model)?;
        let written = interpreter.model.params.iter().map(|p| p.mutable);
        for ((buffer, t), written) in self.variables.iter_mut().zip(&state.params).zip(written) {
            if written && buffer.bytes().len() != t.bytes().len() {
                *buffer = Buffer::new(t.bytes().len())?;
            }
            if written {
                buffer.copy_from(t.bytes())?;
            }
        }
        Ok(())
    }

    /// What the parameters hold now.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn state(&self) -> Result<State, Error> {
        let mut state = self.cell.new_state();
        for (t, (p, buffer)) in state.params.iter_mut().zip(self.cell.model().params.iter().zip(&self.variables)) {
            if p.mutable {
                *t = Tensor::from_bytes(t.dtype(), t.shape(), aligned_copy(buffer.bytes())?)?;
            }
        }
        Ok(state)
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
        let checked = inputs.iter().zip(&self.facts).enumerate();
        checked.into_iter().try_for_each(|(i, (bytes, fact))| self.check_bytes(i, bytes, fact))?;
        self.carried.iter_mut().for_each(|carried| carried.moved = false);
        self.say_what_is_carried();
        self.run_checked(inputs, nanos)
    }

    fn run_checked(&mut self, inputs: &[&[u8]], nanos: Option<&mut [u64]>) -> Result<(), Error> {
        let ordered: smallvec::SmallVec<[&[u8]; 32]> =
            self.order.iter().filter_map(|&i| inputs.get(i).copied()).collect();
        let bounds = self.cell.interpreter().lasting(self.cell.halt());
        let Session { ready, workspace, buffers, variables, .. } = self;
        let compiled = &ready.compiled;
        bounds.enter(|| {
            let params = |p: usize| variables.get(p).map(Buffer::bytes);
            compiled.run(workspace, &ordered, &params, buffers, nanos)?;
            compiled.copy(workspace, &ordered, &params, buffers)
        })?;
        for (p, result) in &compiled.writes {
            if let Some((variable, buffer)) = variables.get_mut(*p).zip(buffers.get_mut(*result)) {
                std::mem::swap(variable, buffer);
            }
        }
        Ok(())
    }

    fn check_count(&self, found: usize) -> Result<(), InputError> {
        if found == self.facts.len() {
            return Ok(());
        }
        let names = self.cell.inputs().into_iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        Err(InputError::Count { expected: self.facts.len(), names, found })
    }

    fn check_bytes(&self, i: usize, bytes: &[u8], fact: &Fact) -> Result<(), InputError> {
        if bytes.is_empty() && self.bound.contains(&i) {
            return Ok(());
        }
        if bytes.len() != fact.bytes() {
            return Err(InputError::Length { name: self.name(i), expected: fact.clone(), found: bytes.len() });
        }
        if !bytes.as_ptr().addr().is_multiple_of(fact.dtype.align()) {
            return Err(InputError::Misaligned { name: self.name(i), expected: fact.clone() });
        }
        let wrong = if fact.dtype == DType::Bool { no_bool(bytes) } else { None };
        match wrong {
            Some((index, value)) => Err(InputError::Bool { name: self.name(i), index, value }),
            None => Ok(()),
        }
    }

    fn name(&self, i: usize) -> String {
        self.cell.inputs().into_iter().nth(i).map(|p| p.name).unwrap_or_default()
    }

    /// Runs the model on elements in the caller's memory, one slice or [`Slice`] for each input; [`inputs!`](crate::inputs)
    /// makes them of inputs of several element types. A `bool` input takes `u8`.
    ///
    /// # Errors
    /// As [`Session::run_bytes`]; [`InputError::DType`] naming an input of another type.
    pub fn run<'a, I: Copy + Into<Slice<'a>>>(&mut self, inputs: &[I]) -> Result<(), Error> {
        self.check_count(inputs.len())?;
        let mut bytes: smallvec::SmallVec<[&[u8]; 32]> = smallvec::SmallVec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            bytes.push(self.check_dtype(i, (*input).into())?);
        }
        self.run_bytes(&bytes)
    }

    /// The bytes of input `i`.
    fn check_dtype<'a>(&self, i: usize, given: Slice<'a>) -> Result<&'a [u8], InputError> {
        let count = self.facts.len();
        let expected = self.facts.get(i).ok_or(InputError::Input { index: i, count })?.dtype;
        if expected == given.dtype || (expected, given.dtype) == (DType::Bool, DType::U8) {
            return Ok(given.bytes);
        }
        Err(InputError::DType { name: self.name(i), expected, found: given.dtype })
    }

    /// The session's own memory for the elements of input `i`, which [`Session::run_filled`] takes: zeros at first, then what
    /// was left there.
    ///
    /// # Errors
    /// [`InputError::DType`] if the input has another type than `T`, [`InputError::Input`] if there is no such input;
    /// [`Error::Limit`].
    pub fn input_mut<T: Element>(&mut self, i: usize) -> Result<&mut [T], Error> {
        self.check_dtype(i, Slice { dtype: T::DTYPE, bytes: &[] })?;
        self.make_filled()?;
        let count = self.filled.len();
        let filled = self.filled.get_mut(i).ok_or(InputError::Input { index: i, count })?;
        Ok(bytemuck::cast_slice_mut(filled.bytes_mut()))
    }

    fn make_filled(&mut self) -> Result<(), Error> {
        if self.filled.len() != self.facts.len() {
            self.filled = self.facts.iter().map(|f| Buffer::new(f.bytes())).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// Makes result `output` the input `input` of the next run, without a copy, whenever [`Session::run_filled`] ran: caches of keys
    /// and values, states of recurrent layers. Where both lie in a device's memory only, the result stays there, and [`Session::fetch`]
    /// copies it. Before the first run the input is what [`Session::input_mut`] was filled with. A result that
    /// replaces parts of the input is made where the input lies, so that a run that fails leaves neither.
    ///
    /// # Errors
    /// [`InputError::Output`] or [`InputError::Input`] if there is no such result or input; [`InputError::Carried`] if they differ in
    /// element type or shape, [`InputError::CarriedTwice`] if one of them is carried already; [`Error::Limit`].
    pub fn carry(&mut self, output: usize, input: usize) -> Result<(), Error> {
        let missing = InputError::Output { index: output, count: self.results.len() };
        let (&result, found) = self.results.get(output).zip(self.output_fact(output)).ok_or(missing)?;
        let count = self.facts.len();
        let expected = self.facts.get(input).ok_or(InputError::Input { index: input, count })?;
        let name = || self.name(input);
        if expected != found {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(InputError::Carried { name: name(), output, expected, found }.into());
        }
        let carried_already = |carried: &Carried| carried.result == result || carried.input == input;
        if self.bound.contains(&input) || self.carried.iter().any(carried_already) {
            return Err(InputError::CarriedTwice { name: name(), output }.into());
        }
        let over = self.ready.compiled.results.get(result).and_then(|r| r.over);
        let in_place = over.is_some_and(|over| self.order.get(over) == Some(&input));
        let compiled = &self.ready.compiled;
        let place = self.order.iter().position(|i| *i == input);
        let tensors = compiled.resident_result(result).zip(place.and_then(|place| compiled.resident_input(place)));
        let device = tensors.filter(|(result, input)| compiled.alike(*result, *input));
        self.make_filled()?;
        if let Some(resident) = device.and_then(|(result, _)| self.workspace.resident(result)) {
            resident.kept = true;
        }
        self.carried.push(Carried { result, input, in_place, device, moved: false });
        Ok(())
    }

    /// Says which tensors in a device's memory hold what was carried there.
    fn say_what_is_carried(&mut self) {
        for carried in &self.carried {
            if let Some(resident) = carried.device.and_then(|(_, input)| self.workspace.resident(input)) {
                resident.given = carried.moved;
            }
        }
    }

    /// Takes input `i` from a tensor in a device's memory from now on, so that nothing is copied; with `None`, from the caller's
    /// again. The input's slice is to be empty in [`Session::run`] and [`Session::run_bytes`] then.
    ///
    /// # Errors
    /// [`InputError::Input`] if there is no such input, [`InputError::OnHost`] if something reads it in host memory,
    /// [`InputError::CarriedTwice`] if it is carried, [`InputError::Bound`] if the tensor has another type or shape;
    /// [`Error::Device`].
    pub fn bind(&mut self, i: usize, tensor: impl Into<Option<Arc<dyn DeviceTensor>>>) -> Result<(), Error> {
        let (tensor, count) = (tensor.into(), self.facts.len());
        let expected = self.facts.get(i).ok_or(InputError::Input { index: i, count })?;
        let place = self.order.iter().position(|input| *input == i);
        let at = place.and_then(|place| self.ready.compiled.resident_input(place));
        let at = at.ok_or(InputError::OnHost { what: "input", index: i })?;
        if let Some(found) = tensor.as_ref().map(|t| t.fact()).filter(|found| *found != expected) {
            return Err(
                InputError::Bound { name: self.name(i), expected: expected.clone(), found: found.clone() }.into()
            );
        }
        if let Some(carried) = self.carried.iter().find(|carried| carried.input == i) {
            return Err(InputError::CarriedTwice { name: self.name(i), output: carried.result }.into());
        }
        self.bound.retain(|bound| *bound != i);
        self.bound.extend(tensor.is_some().then_some(i));
        Ok(self.ready.compiled.bind(&mut self.workspace, at, tensor)?)
    }

    /// The tensor in a device's memory that holds result `i` of the last run. From now on the result stays there:
    /// [`Session::output_bytes`] has none of it.
    ///
    /// # Errors
    /// [`InputError::Output`] if there is no such result, [`InputError::OnHost`] if it does not lie in a device's memory only.
    pub fn output_device(&mut self, i: usize) -> Result<Arc<dyn DeviceTensor>, Error> {
        let result = *self.results.get(i).ok_or(InputError::Output { index: i, count: self.results.len() })?;
        let on_host = InputError::OnHost { what: "result", index: i };
        let at = self.ready.compiled.resident_result(result).ok_or(on_host.clone())?;
        if let Some(resident) = self.workspace.resident(at) {
            resident.kept = true;
        }
        let held = self.holder(result, at);
        Ok(self.workspace.resident(held).ok_or(on_host)?.tensor.clone())
    }

    /// The tensor that holds the last result which the plan computes in tensor `at`.
    fn holder(&self, result: usize, at: usize) -> usize {
        let moved = self.carried.iter().find(|carried| carried.result == result && carried.moved);
        moved.and_then(|carried| carried.device).map_or(at, |(_, input)| input)
    }

    /// A copy of result `i` of the last run, wherever it lies.
    ///
    /// # Errors
    /// [`InputError::Output`] if there is no such result; [`Error::Device`], [`Error::Limit`].
    pub fn fetch(&self, i: usize) -> Result<Tensor, Error> {
        let missing = InputError::Output { index: i, count: self.results.len() };
        let (Some(&result), Some(fact)) = (self.results.get(i), self.output_fact(i)) else {
            return Err(missing.into());
        };
        let mut buffer = Buffer::new(fact.bytes())?;
        match self.kept(result) {
            Some(at) => self.ready.compiled.fetch(&self.workspace, self.holder(result, at), buffer.bytes_mut())?,
            None => buffer.copy_from(self.output_bytes(i).unwrap_or_default())?,
        }
        Ok(Tensor::from_buffer(fact.dtype, &fact.shape, buffer)?)
    }

    /// The tensor that the plan computes a result in that stays in a device's memory.
    fn kept(&self, result: usize) -> Option<usize> {
        let at = self.ready.compiled.resident_result(result)?;
        self.workspace.is_kept(at).then_some(at)
    }

    /// Lets results and inputs that are carried change places, all or those that are made in place.
    fn change_places(&mut self, wanted: impl Fn(&Carried) -> bool) {
        for carried in self.carried.iter().filter(|carried| wanted(carried)) {
            if let Some((result, input)) = carried.device {
                self.workspace.exchange(result, input);
            } else if let (Some(result), Some(input)) =
                (self.buffers.get_mut(carried.result), self.filled.get_mut(carried.input))
            {
                std::mem::swap(result, input);
            }
        }
    }

    /// Runs the model on what [`Session::input_mut`] was filled with, and what is carried.
    ///
    /// # Errors
    /// As [`Session::run_bytes`].
    pub fn run_filled(&mut self) -> Result<(), Error> {
        self.make_filled()?;
        for (i, (buffer, fact)) in self.filled.iter().zip(&self.facts).enumerate() {
            self.check_bytes(i, buffer.bytes(), fact)?;
        }
        self.change_places(|carried| carried.in_place);
        self.say_what_is_carried();
        let filled = std::mem::take(&mut self.filled);
        let made_in_place = |i: usize| self.carried.iter().any(|carried| carried.in_place && carried.input == i);
        let nothing = |i: usize| made_in_place(i) || self.bound.contains(&i);
        let of = |(i, buffer)| if nothing(i) { &[][..] } else { Buffer::bytes(buffer) };
        let bytes: smallvec::SmallVec<[&[u8]; 32]> = filled.iter().enumerate().map(of).collect();
        let done = self.run_checked(&bytes, None);
        drop(bytes);
        self.filled = filled;
        let ran = done.is_ok();
        self.change_places(|carried| ran || carried.in_place);
        self.carried.iter_mut().for_each(|carried| carried.moved = ran);
        done
    }

    /// Number of results.
    pub fn output_count(&self) -> usize {
        self.results.len()
    }

    /// Element type and shape of result `i`, if the model has as many.
    pub fn output_fact(&self, i: usize) -> Option<&Fact> {
        Some(&self.ready.compiled.results.get(*self.results.get(i)?)?.fact)
    }

    /// Bytes of result `i` of the last run, if the model has as many and it does not stay in a device's memory.
    pub fn output_bytes(&self, i: usize) -> Option<&[u8]> {
        let result = *self.results.get(i)?;
        if self.kept(result).is_some() {
            return None;
        }
        let carried = self.carried.iter().find(|carried| carried.moved && carried.result == result);
        let buffer = carried.map_or(self.buffers.get(result), |carried| self.filled.get(carried.input));
        buffer.map(Buffer::bytes)
    }

    /// Result `i` of the last run as a typed slice.
    ///
    /// # Errors
    /// [`InputError::Output`] if the model has no such result, [`InputError::OnDevice`] if it stays in a device's memory;
    /// [`TensorError::DType`] if `T` is another type.
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T], Error> {
        let missing = InputError::Output { index: i, count: self.results.len() };
        let fact = self.output_fact(i).ok_or(missing)?;
        let bytes = self.output_bytes(i).ok_or(InputError::OnDevice { index: i })?;
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
