//! Cells: models that run.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mindir::ckpt::LoadOptions;
use mindir::graph::Nest;
use mindir::{CancelToken, Error, Fact, Fallback, InputError, Options, Precision, TensorError};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};

use crate::array::Shared;
use crate::checkpoint;
use crate::error::{raised, usage};
use crate::input;
use crate::interrupt::{Cancel, Pace};
use crate::model::{self, Graph, Port};
use crate::session::Session;
use crate::tensor::{self, Tensor};

/// A model that runs: MindSpore's `nn.GraphCell`.
///
/// Called with one array for each input, by position or by name, it gives a `Tensor`, or what the model nests them in. Threads may
/// share a cell; it runs without the interpreter's lock.
///
/// `params_init` replaces parameters by name. Where to run and how: `device` ("cpu", "wgpu", "cuda"; else what
/// `mindir.set_context` says), `fallback` (whether the CPU takes what the device declines), `threads`, `precision` of products
/// ("f32", "tf32", "f16", "bf16"), `batch_invariant`. Bounds: `deadline` of a run in seconds, `max_memory` in bytes, `max_calls`, `max_depth`,
/// `max_plan_nodes`; `plan_memory` is what the cell keeps to be fast another time. `packed_weights` is a folder
/// that keeps large weights as kernels read them, so that the next process starts faster.
///
/// >>> import mindir, numpy
/// >>> cell = mindir.GraphCell(mindir.load("examples/digits/lenet5.mindir"), threads=1)
/// >>> cell(numpy.zeros((1, 1, 32, 32), numpy.float32)).shape
/// (1, 10)
/// >>> cell(x=numpy.zeros((1, 1, 32, 32), numpy.float32)).dtype
/// mindir.float32
#[pyclass(frozen, module = "mindir")]
pub struct GraphCell {
    cell: Mutex<mindir::GraphCell>,
    ports: Vec<mindir::Port>,
    pace: Pace,
    /// Whether the model writes parameters.
    writes: bool,
    /// Facts of inputs that the cell keeps nothing of, as the last run told.
    straight: Mutex<Option<Vec<Fact>>>,
    /// Ends runs.
    cancel: Option<CancelToken>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where elements lie.
fn place(tensor: &mindir::Tensor) -> Range<usize> {
    let start = tensor.bytes().as_ptr().addr();
    start..start + tensor.bytes().len()
}

impl GraphCell {
    fn of(cell: mindir::GraphCell, cancel: Option<CancelToken>) -> GraphCell {
        GraphCell {
            ports: cell.inputs(),
            writes: cell.model().params.iter().any(|p| p.mutable),
            cell: Mutex::new(cell),
            pace: Pace::default(),
            straight: Mutex::new(None),
            cancel,
        }
    }

    /// The library's cell, which shares everything with this one.
    pub fn share(&self) -> mindir::GraphCell {
        lock(&self.cell).clone()
    }

    fn gather(&self, args: &Bound<'_, PyTuple>, named: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<Shared>> {
        let mut slots: Vec<Option<Shared>> = Vec::with_capacity(self.ports.len());
        self.flatten(args, &mut slots)?;
        for (name, value) in named.into_iter().flatten() {
            let name: String = name.extract()?;
            let at = self.ports.iter().position(|p| p.name == name);
            let names = || self.ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
            let at = at.ok_or_else(|| raised(InputError::Name { name: name.clone(), names: names() }))?;
            if slots.len() <= at {
                slots.resize_with(at + 1, || None);
            }
            match slots.get_mut(at) {
                Some(slot @ None) => *slot = Some(input::shared(&value, self.dtype(at))?),
                _ => return Err(raised(InputError::Twice(name))),
            }
        }
        Ok(slots.into_iter().flatten().collect())
    }

    /// Takes tuples apart, as models have one input for each of their items.
    fn flatten(&self, args: &Bound<'_, PyTuple>, slots: &mut Vec<Option<Shared>>) -> PyResult<()> {
        for arg in args {
            match arg.cast::<PyTuple>() {
                Ok(items) => self.flatten(items, slots)?,
                Err(_) => slots.push(Some(input::shared(&arg, self.dtype(slots.len()))?)),
            }
        }
        Ok(())
    }

    fn dtype(&self, at: usize) -> Option<mindir::DType> {
        self.ports.get(at)?.spec.dtype
    }

    /// What `run` gives. It has copies of what somebody may write later, for a plan may know an input's contents and a parameter may
    /// take them, unless the last run told that the cell keeps nothing of such inputs.
    fn answer(
        &self,
        py: Python<'_>,
        given: Vec<Shared>,
        run: impl FnOnce(&mindir::GraphCell, &[mindir::Tensor]) -> Result<Vec<mindir::Tensor>, Error> + Send,
    ) -> PyResult<Py<PyAny>> {
        let cell = self.share();
        let facts: Vec<Fact> = given.iter().map(|shared| shared.tensor.fact()).collect();
        let keeps = lock(&self.straight).as_deref() != Some(&facts[..]);
        let input = |shared: &Shared| match shared.writable && keeps {
            true => tensor::copy(&shared.tensor),
            false => Ok(shared.tensor.clone()),
        };
        // Only a straight line of steps takes as long as before.
        let results = self.pace.run(py, !keeps, self.cancel.as_ref(), |token: Option<CancelToken>| {
            let inputs = given.iter().map(input).collect::<Result<Vec<_>, TensorError>>()?;
            match token {
                Some(token) => run(&cell.clone().with_cancel(token), &inputs),
                None => run(&cell, &inputs),
            }
        })?;
        if keeps && !self.writes {
            let found = py.detach(|| cell.is_straight(&facts).unwrap_or(false));
            *lock(&self.straight) = found.then_some(facts);
        }
        let lent: Vec<Range<usize>> = given.iter().filter(|s| s.writable).map(|s| place(&s.tensor)).collect();
        let mut own = results.into_iter().map(|result| {
            let at = place(&result);
            let is_lent = lent.iter().any(|lent| at.start < lent.end && lent.start < at.end);
            Tensor::result(if is_lent { tensor::copy(&result).map_err(raised)? } else { result })
        });
        nested(py, cell.nest(), &mut own)
    }
}

/// Results as the model nests them.
pub fn nested(
    py: Python<'_>,
    nest: &Nest,
    results: &mut impl Iterator<Item = PyResult<Tensor>>,
) -> PyResult<Py<PyAny>> {
    let mut next = || results.next().unwrap_or_else(|| Err(usage("the model has fewer results than it says")));
    match nest {
        Nest::Leaf => next()?.into_py_any(py),
        Nest::Number => match tensor::numbers(py, &next()?.inner)?.pop() {
            Some(number) => Ok(number),
            None => Ok(py.None()),
        },
        Nest::Numbers => PyTuple::new(py, tensor::numbers(py, &next()?.inner)?)?.into_py_any(py),
        Nest::None => Ok(py.None()),
        Nest::Text(text) => (&**text).into_py_any(py),
        Nest::Tuple(items) => {
            let items: Vec<_> = items.iter().map(|item| nested(py, item, results)).collect::<PyResult<_>>()?;
            PyTuple::new(py, items)?.into_py_any(py)
        }
        Nest::List(items) => {
            let items: Vec<_> = items.iter().map(|item| nested(py, item, results)).collect::<PyResult<_>>()?;
            PyList::new(py, items)?.into_py_any(py)
        }
    }
}

#[pymethods]
impl GraphCell {
    #[new]
    #[pyo3(signature = (graph, params_init=None, obf_random_seed=None, *, device=None, fallback=true, threads=None,
        precision="f32", batch_invariant=false, deadline=None, max_memory=None, max_calls=None, max_depth=None,
        max_plan_nodes=None, plan_memory=None, packed_weights=None))]
    fn new(
        py: Python<'_>,
        graph: &Bound<'_, Graph>,
        params_init: Option<&Bound<'_, PyDict>>,
        obf_random_seed: Option<u64>,
        device: Option<String>,
        fallback: bool,
        threads: Option<usize>,
        precision: &str,
        batch_invariant: bool,
        deadline: Option<f64>,
        max_memory: Option<u64>,
        max_calls: Option<u64>,
        max_depth: Option<usize>,
        max_plan_nodes: Option<u64>,
        plan_memory: Option<usize>,
        packed_weights: Option<PathBuf>,
    ) -> PyResult<GraphCell> {
        if obf_random_seed.is_some() {
            return Err(usage("models are not obfuscated: obf_random_seed is to be None"));
        }
        let model = graph.get().model.clone();
        let usual = Options::default();
        let mut options = Options {
            fallback: if fallback { Fallback::Allow } else { Fallback::Deny },
            threads,
            precision: precision_of(precision)?,
            batch_invariant,
            deadline: deadline.map(seconds).transpose()?,
            max_memory,
            max_calls: max_calls.unwrap_or(usual.max_calls),
            max_depth: max_depth.unwrap_or(usual.max_depth),
            max_plan_nodes: max_plan_nodes.unwrap_or(usual.max_plan_nodes),
            plan_memory: plan_memory.unwrap_or(usual.plan_memory),
            packed_weights,
            ..usual
        };
        // As in MindSpore, names that no parameter has are passed over.
        for (name, value) in params_init.into_iter().flatten() {
            let name: String = name.extract()?;
            if model.params.iter().any(|p| *p.name == *name) {
                options.params_init.insert(name, tensor::copy(&input::shared(&value, None)?.tensor).map_err(raised)?);
            }
        }
        let device = match device {
            Some(device) => device,
            None => py.import("mindir.context")?.call_method0("device")?.extract()?,
        };
        let made = py.detach(|| mindir::GraphCell::new(model, options.on(&device)?));
        Ok(GraphCell::of(made.map_err(raised)?, None))
    }

    /// Inputs in call order: `Port`s with name, dtype and shape.
    ///
    /// >>> import mindir
    /// >>> mindir.GraphCell(mindir.load("examples/digits/lenet5_dynamic_batch.mindir")).inputs
    /// [Port(name='x', dtype=mindir.float32, shape=(None, 1, 32, 32))]
    #[getter]
    fn inputs(&self) -> Vec<Port> {
        self.ports.iter().cloned().map(Port).collect()
    }

    /// Results in order, tuples taken apart.
    #[getter]
    fn outputs(&self) -> Vec<Port> {
        self.share().outputs().into_iter().map(Port).collect()
    }

    #[pyo3(signature = (*args, **named))]
    fn __call__(&self, args: &Bound<'_, PyTuple>, named: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        let given = self.gather(args, named)?;
        self.answer(args.py(), given, |cell, inputs| cell.run(inputs))
    }

    /// A call, under MindSpore's name.
    #[pyo3(signature = (*args, **named))]
    fn construct(&self, args: &Bound<'_, PyTuple>, named: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        self.__call__(args, named)
    }

    /// A cell that shares everything with this one, and whose runs `token` ends.
    fn with_cancel(&self, token: &Bound<'_, Cancel>) -> GraphCell {
        GraphCell::of(self.share(), Some(token.get().token.clone()))
    }

    /// The parameters as they are now, for a conversation of its own.
    fn new_state(&self, py: Python<'_>) -> State {
        let cell = self.share();
        State::of(py.detach(|| cell.new_state()))
    }

    /// A call with the parameters of `state`, which the model writes instead of the cell's.
    ///
    /// >>> import mindir
    /// >>> cell = mindir.GraphCell(mindir.load("tests/goldens/state_counter/model.mindir"))
    /// >>> one, other = cell.new_state(), cell.new_state()
    #[pyo3(signature = (state, *args, **named))]
    fn run_in(
        &self,
        state: &Bound<'_, State>,
        args: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let given = self.gather(args, named)?;
        let state = state.get().state.clone();
        self.answer(args.py(), given, move |cell, inputs| cell.run_in(&mut lock(&state), inputs))
    }

    /// A session for inputs of fixed shapes: those of the arguments, which are arrays or tuples of numbers, or as the file declares
    /// them. Only models that are a straight line of steps have one.
    #[pyo3(signature = (*shapes))]
    fn session(&self, py: Python<'_>, shapes: &Bound<'_, PyTuple>) -> PyResult<Session> {
        let cell = self.share();
        let given = shapes.iter().enumerate().map(|(i, shape)| input::fact(&shape, self.dtype(i)));
        let mut facts: Vec<Fact> = given.collect::<PyResult<_>>()?;
        if facts.is_empty() {
            let open = || usage("the model leaves dimensions open; give the shapes of its inputs");
            facts = cell.exported_facts().ok_or_else(open)?;
        }
        let session = py.detach(|| cell.session(&facts)).map_err(raised)?;
        Ok(Session::new(session, &cell))
    }

    /// What parameters hold now, by name in the model's order.
    ///
    /// >>> import mindir
    /// >>> mindir.GraphCell(mindir.load("examples/digits/lenet5.mindir")).parameters_dict()["fc3.bias"]
    /// Parameter (name=fc3.bias, shape=(10,), dtype=Float32)
    fn parameters_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let cell = self.share();
        checkpoint::dictionary(py, &py.detach(|| cell.checkpoint()))
    }

    /// The parameters, one after the other.
    fn get_parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.parameters_dict(py)?.values().try_iter()
    }

    /// Pairs of names and parameters, one after the other.
    fn parameters_and_names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.parameters_dict(py)?.items().try_iter()
    }

    /// The cell itself: what a graph does was decided when it was exported.
    #[pyo3(signature = (mode=true))]
    fn set_train(slf: Bound<'_, Self>, mode: bool) -> Bound<'_, Self> {
        let _ = mode;
        slf
    }

    /// Gives parameters the values of a checkpoint.
    fn _load(&self, py: Python<'_>, given: &Bound<'_, PyDict>, strict: bool) -> PyResult<(Vec<String>, Vec<String>)> {
        let checkpoint = checkpoint::of(given)?;
        let mut cell = self.share();
        let loaded = py.detach(|| cell.load_param_into_net(&checkpoint, LoadOptions { strict })).map_err(raised)?;
        *lock(&self.cell) = cell;
        Ok((loaded.param_not_load, loaded.ckpt_not_load))
    }

    /// The model with what its parameters hold now.
    fn _graph(&self, py: Python<'_>) -> Graph {
        let cell = self.share();
        Graph { model: Arc::new(py.detach(|| model::with_params(cell.model(), &cell.checkpoint()))) }
    }

    /// Says whether inputs of these shapes fit the model.
    fn _check(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
        let facts: Vec<Fact> = self.gather(args, None)?.iter().map(|shared| shared.tensor.fact()).collect();
        let cell = self.share();
        py.detach(|| cell.plan(&facts)).map_err(raised).map(|_| ())
    }
}

fn precision_of(name: &str) -> PyResult<Precision> {
    let names = || Precision::ALL.map(Precision::name).join(", ");
    let found = Precision::ALL.into_iter().find(|precision| precision.name() == name);
    found.ok_or_else(|| usage(format!("precision: expected one of {}, found {name}", names())))
}

fn seconds(time: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(time).map_err(|e| usage(format!("deadline: {e}")))
}

/// The parameters that a model writes, apart from the cell: counters, caches of keys and values.
#[pyclass(frozen, module = "mindir")]
pub struct State {
    pub state: Arc<Mutex<mindir::State>>,
}

impl State {
    pub fn of(state: mindir::State) -> State {
        State { state: Arc::new(Mutex::new(state)) }
    }
}

#[pymethods]
impl State {
    /// The same conversation twice, to go on from here in two ways.
    fn copy(&self, py: Python<'_>) -> State {
        State::of(py.detach(|| lock(&self.state).clone()))
    }

    /// What parameters hold now, by name in the model's order.
    fn parameters_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        checkpoint::dictionary(py, &py.detach(|| lock(&self.state).checkpoint()))
    }
}
