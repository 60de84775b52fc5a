//! Every task family in its plainest form: one element after the other, sums in `f64` or exact integers, rounded once.
//!
//! These functions say what a task means. Kernels are tested against them, constants are folded with them, and element
//! types without a kernel of their own run on them. They check every size and index, so that a task that does not fit its
//! operands is an error.

mod conv;
mod copy;
mod finish;
mod gather;
mod gemm;
mod map;
mod norm;
mod number;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod scan;
mod scatter;
mod softmax;
mod sort;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use mindir_graph::task::{Task, V};
use mindir_graph::{DType, Fact, OpError, Tensor, checked_count, ensure};
pub(crate) use resize::{linear_source, nearest_source};

/// Computes `task` for the operands `ins`; the results have the facts `outs`.
///
/// # Errors
/// [`OpError::Invalid`] if operands, results and task do not fit together, and whatever a host task reports.
pub fn run(task: &Task, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    for fact in outs {
        let bytes = checked_count(&fact.shape).and_then(|n| n.checked_mul(fact.dtype.size()));
        ensure!(bytes.is_some_and(|n| n <= isize::MAX as usize), "{}: result {fact} is too large", task.family());
    }
    match task {
        Task::Gemm(t) => gemm::run(t, ins, outs),
        Task::Conv(t) => conv::run(t, ins, outs),
        Task::Pool(t) => pool::run(t, ins, outs),
        Task::Map(t) => map::run(t, ins, outs),
        Task::Copy(t) => copy::run(t, ins, outs),
        Task::Reduce(t) => reduce::run(t, ins, outs),
        Task::Softmax(t) => softmax::run(t, ins, outs),
        Task::Norm(t) => norm::run(t, ins, outs),
        Task::Gather(t) => gather::run(t, ins, outs),
        Task::Resize(t) => resize::run(t, ins, outs),
        Task::Scan(t) => scan::run(t, ins, outs),
        Task::Sort(t) => sort::run(t, ins, outs),
        Task::Recurrent(t) => recurrent::run(t, ins, outs),
        Task::Scatter(t) => scatter::run(t, ins, outs),
        Task::Host(t) => t.run(ins),
        Task::Attention(_) => parts(task, ins, outs),
    }
}

/// Computes the parts of a composite task, one after the other.
fn parts(task: &Task, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let facts: Vec<Fact> = ins.iter().map(Tensor::fact).collect();
    let wrong = || OpError::Invalid(format!("{}: operands or results are missing", task.family()));
    let graph = task.expand(&facts, outs).ok_or_else(wrong)?;
    let mut values: HashMap<V, Tensor> = graph.inputs.iter().copied().zip(ins.iter().cloned()).collect();
    let read = |values: &HashMap<V, Tensor>, v: &V| values.get(v).cloned().ok_or_else(wrong);
    for node in &graph.nodes {
        let ins: Vec<Tensor> = node.ins.iter().map(|v| read(&values, v)).collect::<Result<_, _>>()?;
        let facts: Vec<Fact> = node.outs.iter().map(|v| graph.fact(*v).clone()).collect();
        values.extend(node.outs.iter().copied().zip(run(&node.task, &ins, &facts)?));
    }
    graph.outputs.iter().map(|v| read(&values, v)).collect()
}

/// Operand `index`, which must hold `dims` elements of `dtype`.
fn operand<'a>(
    family: &str,
    ins: &'a [Tensor],
    index: usize,
    dtype: DType,
    dims: &[usize],
) -> Result<&'a Tensor, OpError> {
    let Some(t) = ins.get(index) else {
        return Err(OpError::Invalid(format!("{family}: operand {index} is missing")));
    };
    ensure!(t.dtype() == dtype, "{family}: operand {index} is {}, expected {dtype}", t.dtype());
    let fits = checked_count(dims) == Some(t.count());
    ensure!(fits, "{family}: operand {index} is {}, expected {dims:?} elements", t.fact());
    Ok(t)
}

/// Fact of result `index`, which must hold `dims` elements of `dtype`.
fn result<'a>(family: &str, outs: &'a [Fact], index: usize, dtype: DType, dims: &[usize]) -> Result<&'a Fact, OpError> {
    let Some(f) = outs.get(index) else {
        return Err(OpError::Invalid(format!("{family}: result {index} is missing")));
    };
    ensure!(f.dtype == dtype, "{family}: result {index} is {}, expected {dtype}", f.dtype);
    let found = checked_count(&f.shape);
    ensure!(
        found.is_some() && found == checked_count(dims),
        "{family}: result {index} is {f}, expected {dims:?} elements"
    );
    Ok(f)
}

/// Checks that sizes are small enough for products of any two to fit `i64`.
fn moderate(family: &str, sizes: &[usize]) -> Result<(), OpError> {
    ensure!(sizes.iter().all(|&s| s <= i32::MAX as usize), "{family}: sizes {sizes:?} are too large");
    Ok(())
}

/// Checks that every element `offset + Σ i·strides` of a block lies below `count`.
fn within(family: &str, count: usize, offset: usize, dims: &[usize], strides: &[isize]) -> Result<(), OpError> {
    ensure!(dims.len() == strides.len(), "{family}: {} dimensions with {} strides", dims.len(), strides.len());
    if dims.contains(&0) {
        return Ok(());
    }
    let (mut low, mut high) = (offset as i128, offset as i128);
    for (&d, &s) in dims.iter().zip(strides) {
        let reach = (d as i128 - 1).saturating_mul(s as i128);
        let end = if s < 0 { &mut low } else { &mut high };
        *end = end.saturating_add(reach);
    }
    ensure!(low >= 0 && high < count as i128, "{family}: elements {low} to {high} of a tensor of {count}");
    Ok(())
}

/// A stride as signed number.
fn signed(family: &str, stride: usize) -> Result<isize, OpError> {
    isize::try_from(stride).map_err(|_| OpError::Invalid(format!("{family}: stride {stride} is too large")))
}

/// All multi-indices below `dims`, last dimension fastest.
fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let count = checked_count(dims).unwrap_or(0);
    (0..count).map(move |mut i| {
        let mut index = vec![0; dims.len()];
        for (x, &d) in index.iter_mut().zip(dims).rev() {
            *x = i % d;
            i /= d;
        }
        index
    })
}

/// `offset + Σ index·strides`, which [`within`] has checked.
fn at(offset: usize, index: &[usize], strides: &[isize]) -> usize {
    index.iter().zip(strides).fold(offset as isize, |p, (&i, &s)| p + i as isize * s) as usize
}
