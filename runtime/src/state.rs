//! The parameters that a model writes, apart from the cell.

use std::sync::Arc;

use mindir_graph::Tensor;
use mindir_graph::graph::Model;
use mindir_loader::ckpt::Checkpoint;

use crate::{Error, InputError};

/// What a model's parameters hold for one conversation: counters, caches of keys and values. Weights that the model does not
/// write are shared with the cell, whose own parameters stay as they are. A clone is a conversation that goes on from here.
#[derive(Clone, Debug)]
pub struct State {
    model: Arc<Model>,
    pub(crate) params: Vec<Tensor>,
}

impl State {
    pub(crate) fn new(model: Arc<Model>, params: Vec<Tensor>) -> State {
        State { model, params }
    }

    /// Says whether it is one of a cell of `model`.
    pub(crate) fn check(&self, model: &Arc<Model>) -> Result<(), Error> {
        if Arc::ptr_eq(&self.model, model) { Ok(()) } else { Err(InputError::State.into()) }
    }

    /// What a parameter holds.
    pub fn param(&self, name: &str) -> Option<&Tensor> {
        self.params.get(self.model.params.iter().position(|p| &*p.name == name)?)
    }

    /// What all parameters hold, in the model's order.
    pub fn checkpoint(&self) -> Checkpoint {
        self.model.params.iter().zip(&self.params).map(|(p, t)| (&*p.name, t.clone())).collect()
    }
}
