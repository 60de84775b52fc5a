//! How to run a model.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mindir_graph::Tensor;
use mindir_graph::graph::Model;
use mindir_graph::passes::Precision;
use mindir_kernels::cpu::Isa;
use mindir_kernels::device::Device;
use rayon::ThreadPool;

use crate::{DEVICES, Error, OptionError};

/// Whether steps that the chosen device declines may run elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// On the CPU; the plan shows which and why.
    #[default]
    Allow,
    /// Nowhere: planning fails with an error that names every such step.
    Deny,
}

/// Options of a [`crate::GraphCell`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to run; `None` is the CPU. See [`Options::on`] and [`Options::with_device`].
    pub device: Option<Arc<dyn Device>>,
    /// What to do with steps that the device declines.
    pub fallback: Fallback,
    /// How exactly matrix products and convolutions of `f32` are computed, on whatever device. Models of other types, and what is
    /// no product or convolution, are computed as ever.
    pub precision: Precision,
    /// Threads of the CPU, from 1 to [`Options::MOST_THREADS`]; `None` takes what the process may use.
    /// The caller of a run is one of them.
    pub threads: Option<usize>,
    /// Threads that cells share, see [`Options::with_pool`]; `None` makes a pool for each cell.
    pub pool: Option<Arc<ThreadPool>>,
    /// Instruction set of the CPU; `None` takes the best that the processor has, or what `MINDIR_ISA` allows.
    pub isa: Option<Isa>,
    /// Whether a row of a batch has, on the CPU, the same bits however many rows there are, where the model itself treats rows
    /// apart. Products of few rows take longer then.
    pub batch_invariant: bool,
    /// Parameters to replace before the first run, by name. The model has every name.
    pub params_init: HashMap<String, Tensor>,
    /// Names of passes to leave out; see [`Options::passes`]. `"all"` leaves out every one.
    pub disabled_passes: Vec<String>,
    /// Bytes that a cell keeps to be fast another time: so many of working memory of runs that are over, which later runs of
    /// any shape take over, and as many of constants that were computed when planning. What was not used for longest goes
    /// first; what was used last stays, whatever it takes. Weights and running calls do not count.
    pub plan_memory: usize,
    /// A folder that keeps large weights in the layouts that the CPU's kernels read, so that the next process maps them instead of
    /// making them; `None` keeps nothing. It is made if it is not there, and may be shared by models and processes, and emptied at
    /// any time. Files in it that are damaged, belong to another user or may be written by others are not read; what cannot be
    /// written is made again by the next process. Weights that are mapped do not count as memory of the cell.
    pub packed_weights: Option<PathBuf>,
    /// Calls that may be unfinished at one time.
    pub max_depth: usize,
    /// Calls that one run may make, loop iterations included.
    pub max_calls: u64,
    /// Nodes that one plan may have: of the graph, and tasks that they become.
    pub max_plan_nodes: u64,
    /// Bytes that the cell may take, with all its runs and sessions together: weights that are not mapped from a file, weights
    /// in other layouts, constants computed when planning, the memory of runs, and values that runs make. A plan that needs
    /// more is refused before anything is allocated for it. Inputs are the caller's, and so are results once a run is over.
    /// `None` is what the system gives. Memory on a GPU that the cell allocates counts too.
    pub max_memory: Option<u64>,
    /// How long one run may take, with planning for its inputs; also how long it may take to plan or to make a session.
    pub deadline: Option<Duration>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            device: None,
            fallback: Fallback::Allow,
            precision: Precision::F32,
            threads: None,
            pool: None,
            isa: None,
            batch_invariant: false,
            params_init: HashMap::new(),
            disabled_passes: Vec::new(),
            plan_memory: 64 << 20,
            packed_weights: None,
            max_depth: 10_000,
            max_calls: 100_000_000,
            max_plan_nodes: 1 << 22,
            max_memory: None,
            deadline: None,
        }
    }
}

impl Options {
    /// The most threads that [`Options::threads`] may ask for.
    pub const MOST_THREADS: usize = mindir_kernels::cpu::Threads::MOST;

    /// These options on the device of [`DEVICES`] called `name`, which is opened; clones share it.
    ///
    /// # Errors
    /// [`Error::NoDevice`] with what is missing.
    pub fn on(self, name: &str) -> Result<Options, Error> {
        let names = || DEVICES.iter().map(|d| d.name).collect::<Vec<_>>().join(", ");
        let unknown = || Error::NoDevice { device: name.into(), reason: format!("unknown; devices are {}", names()) };
        let device = DEVICES.iter().find(|d| d.name == name).ok_or_else(unknown)?.open()?;
        Ok(Options { device, ..self })
    }

    /// These options on `device`. The CPU takes what it declines, if [`Options::fallback`] allows that.
    #[must_use]
    pub fn with_device(self, device: Arc<dyn Device>) -> Options {
        Options { device: Some(device), ..self }
    }

    /// These options with threads of `pool` on the CPU, one of which the caller stands for; no more than [`Options::threads`]
    /// work for one run. Any number of cells may share a pool. A run that finds it busy works with the threads that are free.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mindir::{GraphCell, Options};
    /// # use mindir::builder::Builder;
    /// # use mindir::{DType, Spec};
    /// # let mut b = Builder::new("net");
    /// # let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// # let y = b.op("ReLU", [x.into()])?;
    /// # let model = b.finish(&[y]);
    /// let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("four threads"));
    /// let options = Options::default().with_pool(pool);
    /// let cells = [model.clone(), model].map(|model| GraphCell::new(model, options.clone()));
    /// assert!(cells.iter().all(Result::is_ok));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_pool(self, pool: Arc<ThreadPool>) -> Options {
        Options { pool: Some(pool), ..self }
    }

    /// Names of the passes that [`Options::disabled_passes`] may list, besides `"all"`.
    pub fn passes() -> impl Iterator<Item = &'static str> {
        std::iter::once(crate::plan::CONSTANTS).chain(mindir_graph::passes::PASSES.iter().map(|p| p.name))
    }

    /// Whether a cell of `model` can follow the options.
    pub(crate) fn check(&self, model: &Model) -> Result<(), OptionError> {
        if let Some(found) = self.threads.filter(|n| !(1..=Options::MOST_THREADS).contains(n)) {
            return Err(OptionError::Threads { found });
        }
        let known = |name: &String| name == "all" || Options::passes().any(|p| p == name);
        let names: Vec<String> = self.disabled_passes.iter().filter(|n| !known(n)).cloned().collect();
        if !names.is_empty() {
            return Err(OptionError::Passes { names, passes: Options::passes().collect::<Vec<_>>().join(", ") });
        }
        let has = |name: &String| model.params.iter().any(|p| *p.name == **name);
        let mut missing: Vec<String> = self.params_init.keys().filter(|n| !has(n)).cloned().collect();
        missing.sort();
        if missing.is_empty() { Ok(()) } else { Err(OptionError::Params(missing)) }
    }

    /// Whether the pass called `name` runs.
    pub fn pass_enabled(&self, name: &str) -> bool {
        !self.disabled_passes.iter().any(|d| d == name || d == "all")
    }
}
