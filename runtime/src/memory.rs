//! The memory that a cell may take.

use std::collections::HashMap;
use std::sync::Arc;

use mindir_graph::Tensor;
use mindir_graph::bounds::{Account, Bounds, Halt, Share};
use mindir_graph::graph::{Def, Model};

/// The account of a cell with [`crate::Options::max_memory`].
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub account: Arc<Account>,
    /// What outlives runs.
    pub kept: Arc<Share>,
}

impl Memory {
    /// An account of `limit` bytes.
    pub fn new(limit: u64) -> Memory {
        let account = Arc::new(Account::new(limit));
        let kept = Arc::new(Share::new(account.clone()));
        Memory { account, kept }
    }

    /// Bounds under which all that is made is the cell's.
    pub fn lasting(&self, halt: Halt) -> Bounds {
        Bounds { halt, run: Some(self.kept.clone()), kept: Some(self.kept.clone()), ..Bounds::default() }
    }
}

/// Bytes of a model's weights that lie in no mapped file, and of what parameters are replaced by that it writes.
pub(crate) fn weights(model: &Model) -> usize {
    let constants = model.graphs.iter().flat_map(|g| g.values.iter()).filter_map(|v| match &v.def {
        Def::Const(t) => Some(t),
        _ => None,
    });
    let all = model.params.iter().map(|p| &p.tensor).chain(constants);
    let own = all.map(Tensor::bytes).filter(|bytes| !mindir_loader::is_mapped(bytes));
    let distinct: HashMap<usize, usize> = own.map(|bytes| (bytes.as_ptr().addr(), bytes.len())).collect();
    let written = model.params.iter().filter(|p| p.mutable).map(|p| p.tensor.bytes().len());
    distinct.values().copied().chain(written).fold(0, usize::saturating_add)
}
