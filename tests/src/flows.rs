//! Random control flow: graphs that call each other at their ends in any order, with loops left and begun anew from anywhere.

use mindir::{GraphCell, Options, Tensor};
use mindir_graph::builder::Builder;
use mindir_graph::graph::{Arg, Closure, GraphId, Model, ValueId};
use mindir_graph::{DType, Dim, OpError, Spec};

use crate::shapes::{Random, Sample};

/// Calls after which a model counts as one that does not end.
const MOST_CALLS: u64 = 60;

/// What every graph takes: turns, a vector that keeps its length, and one that may grow.
fn specs() -> [Spec; 3] {
    let open = Spec { dtype: Some(DType::F32), dims: Some([Dim::Unknown].into_iter().collect()) };
    [Spec::fixed(DType::I64, &[]), Spec::fixed(DType::F32, &[2]), open]
}

/// The model of `seed` and what it computes from several inputs. `None` if it ends with none of them.
pub fn sample(seed: u64) -> Option<Sample> {
    let mut random = Random::new(seed);
    let model = model(&mut random).ok()?;
    let options = Options { max_calls: MOST_CALLS, ..Options::default() };
    let cell = GraphCell::new(model.clone(), options).ok()?;
    let mut runs = Vec::new();
    for turn in [0i64, 3, 7] {
        let open = Tensor::from_vec(&[1 + turn as usize], vec![0.25f32; 1 + turn as usize]).ok()?;
        let inputs = vec![Tensor::scalar(turn), Tensor::vector(&[0.5f32, -1.0]), open];
        if let Ok(outputs) = cell.run(&inputs) {
            runs.push((inputs, outputs));
        }
    }
    (!runs.is_empty()).then_some(Sample { model, runs })
}

fn model(random: &mut Random) -> Result<Model, OpError> {
    let mut b = Builder::new("flows");
    let count = 2 + random.below(7);
    let graphs: Vec<GraphId> = (0..count).map(|i| b.declare(&format!("graph{i}"))).collect();
    for graph in &graphs {
        b.define(*graph, |b| {
            let state: Vec<ValueId> = specs().into_iter().map(|spec| b.input("state", spec)).collect();
            let state = changed(b, random, &state)?;
            end(b, random, &graphs, state)
        })?;
    }
    let inputs: Vec<ValueId> = specs().into_iter().map(|spec| b.input("x", spec)).collect();
    let results = b.call(graphs[0], inputs.iter().map(|v| (*v).into()), 3);
    Ok(b.finish(&results))
}

/// What a graph does to its state.
fn changed(b: &mut Builder, random: &mut Random, state: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
    let [turns, fixed, open] = state[..] else { return Ok(state.to_vec()) };
    let one = b.constant(Tensor::scalar(1i64));
    let turns = b.op("Add", [turns.into(), one.into()])?;
    let fixed = match random.below(3) {
        0 => b.op("Muls", [fixed.into(), 0.5f32.into()])?,
        1 => b.op("AddScalar", [fixed.into(), 1.25f32.into()])?,
        _ => fixed,
    };
    let open = match random.below(4) {
        0 => b.op("Concat", [[open, fixed][..].into(), 0i64.into()])?,
        1 => b.op("Neg", [open.into()])?,
        _ => open,
    };
    Ok(vec![turns, fixed, open])
}

/// How a graph ends: with its state, or with a call of one or one of several graphs.
fn end(b: &mut Builder, random: &mut Random, graphs: &[GraphId], state: Vec<ValueId>) -> Result<Vec<ValueId>, OpError> {
    let args = || -> Vec<Arg> { state.iter().map(|v| (*v).into()).collect() };
    let mut any = || Closure { graph: graphs[random.below(graphs.len())], args: args() };
    let [one, other, third] = [any(), any(), any()];
    match random.below(6) {
        0 => Ok(state),
        1 => Ok(b.call(one.graph, args(), 3)),
        2 => {
            let three = b.constant(Tensor::scalar(3i64));
            let index = b.op("FloorMod", [state[0].into(), three.into()])?;
            Ok(b.select(index, vec![one, other, third], 3))
        }
        _ => {
            let limit = b.constant(Tensor::scalar(random.below(12) as i64));
            let test = random_test(random);
            let condition = b.op(test, [state[0].into(), limit.into()])?;
            Ok(b.choose(condition, one, other, 3))
        }
    }
}

fn random_test(random: &mut Random) -> &'static str {
    ["Less", "Greater", "Equal", "NotEqual"][random.below(4)]
}
