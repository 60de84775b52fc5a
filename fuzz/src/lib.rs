//! What the targets share.

#[path = "../../tests/src/counting.rs"]
pub mod counting;

use std::sync::Arc;
use std::time::Duration;

use mindir::graph::Model;
use mindir::{Dim, GraphCell, Limits, Options, Tensor};

use counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that any input may take; each of its own bytes buys four more.
const ALLOWANCE: usize = 16 << 20;

/// Bytes that a run may take of [`ALLOWANCE`]. Reading may take as much again.
const RUN: u64 = 7 << 20;

/// Most elements of an input.
const MOST: usize = 1 << 14;

/// Does the work of a target with `input`, which must take no more than `16 MiB + 4 × size` at any time.
pub fn bounded(input: &[u8], work: impl FnOnce(&[u8])) {
    let watch = Counting::watch();
    work(input);
    let (peak, allowed) = (watch.peak(), ALLOWANCE + 4 * input.len());
    assert!(peak <= allowed, "{peak} bytes for an input of {}, which may take {allowed}", input.len());
}

/// How files are read that are run afterwards.
pub fn limits() -> Limits {
    Limits { decoded_base: RUN, ..Limits::default() }
}

/// Plans and runs a stranger's model within bounds, with all passes and with none. Every error is an answer.
pub fn run(model: Model) {
    let model = Arc::new(model);
    for disabled_passes in [Vec::new(), vec!["all".to_string()]] {
        let options = Options {
            threads: Some(1),
            disabled_passes,
            max_memory: Some(RUN),
            max_calls: 100,
            max_plan_nodes: 1000,
            deadline: Some(Duration::from_millis(100)),
            ..Options::default()
        };
        let Ok(cell) = GraphCell::new(model.clone(), options) else { return };
        let Some(inputs) = inputs(&cell) else { return };
        for _ in 0..2 {
            let _ = cell.run(&inputs).map_err(|e| e.to_string());
        }
    }
}

/// Zeros for every input, two of them along open dimensions.
fn inputs(cell: &GraphCell) -> Option<Vec<Tensor>> {
    let input = |port: mindir::Port| {
        let dims: Vec<usize> = port.spec.dims?.iter().map(|d| if let Dim::Known(n) = d { *n } else { 2 }).collect();
        let count = dims.iter().try_fold(1usize, |count, n| count.checked_mul(*n))?;
        (count <= MOST).then(|| Tensor::zeros(port.spec.dtype?, &dims).ok())?
    };
    cell.inputs().into_iter().map(input).collect()
}
