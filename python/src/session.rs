//! Sessions: repeated runs for inputs of fixed shapes.

use std::sync::Mutex;

use mindir::graph::Nest;
use mindir::{CancelToken, Error, InputError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::array::Shared;
use crate::cell::{State, lock, nested};
use crate::error::raised;
use crate::input;
use crate::interrupt::{Cancel, Pace};
use crate::tensor::Tensor;

/// Runs of a cell for inputs of fixed shapes, which reuse all memory. Parameters that the model writes are its own.
///
/// >>> import mindir, numpy
/// >>> cell = mindir.GraphCell(mindir.load("examples/digits/lenet5_dynamic_batch.mindir"))
/// >>> session = cell.session((2, 1, 32, 32))
/// >>> session(numpy.zeros((2, 1, 32, 32), numpy.float32)).shape
/// (2, 10)
#[pyclass(frozen, module = "mindir")]
pub struct Session {
    session: Mutex<mindir::Session>,
    facts: Vec<mindir::Fact>,
    names: Vec<String>,
    nest: Nest,
    pace: Pace,
    cancel: Mutex<Option<CancelToken>>,
}

impl Session {
    pub fn new(session: mindir::Session, cell: &mindir::GraphCell) -> Session {
        Session {
            facts: session.inputs().to_vec(),
            names: cell.inputs().into_iter().map(|port| port.name).collect(),
            nest: cell.nest().clone(),
            session: Mutex::new(session),
            pace: Pace::default(),
            cancel: Mutex::new(None),
        }
    }

    fn check(&self, given: &[Shared]) -> Result<(), InputError> {
        if given.len() != self.facts.len() {
            let (expected, names, found) = (self.facts.len(), self.names.join(", "), given.len());
            return Err(InputError::Count { expected, names, found });
        }
        for ((expected, name), given) in self.facts.iter().zip(&self.names).zip(given) {
            let found = given.tensor.fact();
            if *expected != found {
                return Err(InputError::Bound { name: name.clone(), expected: expected.clone(), found });
            }
        }
        Ok(())
    }
}

fn run(
    session: &mut mindir::Session,
    inputs: &[&[u8]],
    token: Option<CancelToken>,
) -> Result<Vec<mindir::Tensor>, Error> {
    session.set_cancel(token);
    session.run_bytes(inputs)?;
    (0..session.output_count()).map(|i| session.fetch(i)).collect()
}

#[pymethods]
impl Session {
    #[pyo3(signature = (*args))]
    fn __call__(&self, args: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let dtypes = self.facts.iter().map(|fact| Some(fact.dtype)).chain(std::iter::repeat(None));
        let given: Vec<Shared> =
            args.iter().zip(dtypes).map(|(arg, dtype)| input::shared(&arg, dtype)).collect::<PyResult<_>>()?;
        self.check(&given).map_err(raised)?;
        let aligned = given.iter().map(|shared| Ok(&shared.tensor.aligned()?[..]));
        let bytes: Vec<&[u8]> = aligned.collect::<Result<_, mindir::TensorError>>().map_err(raised)?;
        let cancel = lock(&self.cancel).clone();
        let results =
            self.pace.run(args.py(), true, cancel.as_ref(), |token| run(&mut lock(&self.session), &bytes, token))?;
        nested(args.py(), &self.nest, &mut results.into_iter().map(Tensor::result))
    }

    /// Lets `token` end runs that begin from now on, instead of another; with None nobody ends them.
    #[pyo3(signature = (token))]
    fn set_cancel(&self, token: Option<&Bound<'_, Cancel>>) {
        *lock(&self.cancel) = token.map(|token| token.get().token.clone());
    }

    /// What the parameters hold now that the model writes.
    fn state(&self, py: Python<'_>) -> PyResult<State> {
        let state = py.detach(|| lock(&self.session).state()).map_err(raised)?;
        Ok(State::of(state))
    }

    /// Gives the parameters that the model writes the values of `state`.
    fn set_state(&self, py: Python<'_>, state: &Bound<'_, State>) -> PyResult<()> {
        let state = &state.get().state;
        py.detach(|| {
            let given = lock(state).clone();
            lock(&self.session).set_state(&given)
        })
        .map_err(raised)
    }
}
