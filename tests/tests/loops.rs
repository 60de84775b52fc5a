//! What a turn of a loop costs, counted, not timed: the same whatever the number of turns and the size of what passes through.

use mindir::builder::Builder;
use mindir::graph::{Arg, Closure, Model, ValueId};
use mindir::{DType, GraphCell, OpError, Options, Spec, Tensor};
use mindir_tests::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `while i < n { s += x[i]; rows[i] = s }`, with `x` and `through` passing through and `rows` of `n` times `width` elements.
/// Results are `s`, `rows` and `through`.
fn summing(n: usize, width: usize, through: usize) -> Result<Model, OpError> {
    let mut b = Builder::new("sums");
    let specs = [
        Spec::fixed(DType::I64, &[]),
        Spec::fixed(DType::F32, &[width]),
        Spec::fixed(DType::F32, &[n, width]),
        Spec::fixed(DType::F32, &[n, width]),
        Spec::fixed(DType::F32, &[through]),
    ];
    let inputs =
        |b: &mut Builder| -> Vec<ValueId> { specs.iter().map(|spec| b.input("carried", spec.clone())).collect() };
    let args = |values: &[ValueId]| -> Vec<Arg> { values.iter().map(|v| (*v).into()).collect() };
    let [test, again, leave] = ["test", "again", "leave"].map(|name| b.declare(name));
    b.define(test, |b| {
        let carried = inputs(b);
        let more = b.op("Less", [carried[0].into(), (n as i64).into()])?;
        let [again, leave] = [again, leave].map(|graph| Closure { graph, args: args(&carried) });
        Ok(b.choose(more, again, leave, 3))
    })?;
    b.define(again, |b| {
        let [i, s, rows, x, through] = inputs(b)[..] else { return Ok(Vec::new()) };
        let row = b.op("Gather", [x.into(), i.into(), 0i64.into(), 0i64.into()])?;
        let s = b.op("Add", [s.into(), row.into()])?;
        let at = b.op("Reshape", [i.into(), (&[1i64, 1][..]).into()])?;
        let row = b.op("ExpandDims", [s.into(), 0i64.into()])?;
        let rows = b.op("TensorScatterUpdate", [rows.into(), at.into(), row.into()])?;
        let one = b.constant(Tensor::scalar(1i64));
        let i = b.op("Add", [i.into(), one.into()])?;
        Ok(b.call(test, args(&[i, s, rows, x, through]), 3))
    })?;
    b.define(leave, |b| {
        let [_, s, rows, _, through] = inputs(b)[..] else { return Ok(Vec::new()) };
        Ok(vec![s, rows, through])
    })?;
    let x = b.input("x", specs[3].clone());
    let through = b.input("through", specs[4].clone());
    let zero = b.constant(Tensor::scalar(0i64));
    let s = b.constant(Tensor::zeros(DType::F32, &[width])?);
    let rows = b.constant(Tensor::zeros(DType::F32, &[n, width])?);
    let results = b.call(test, args(&[zero, s, rows, x, through]), 3);
    Ok(b.finish(&results))
}

/// Allocations and their bytes in one run.
fn counted(cell: &GraphCell, inputs: &[Tensor]) -> [usize; 2] {
    let before = Counting::totals();
    let results = cell.run(inputs).expect("runs");
    let after = Counting::totals();
    drop(results);
    [after[0] - before[0], after[1] - before[1]]
}

/// Allocations and their bytes in one run that is not the first, after a look at the results.
fn cost(n: usize, width: usize, through: usize) -> [usize; 2] {
    let model = summing(n, width, through).expect("the model is right");
    let cell = GraphCell::new(model, Options { threads: Some(1), ..Options::default() }).expect("supported");
    let x =
        Tensor::from_vec(&[n, width], (0..n * width).map(|i| (i % 7) as f32).collect::<Vec<_>>()).expect("a tensor");
    let passing = Tensor::zeros(DType::F32, &[through]).expect("a tensor");
    let inputs = [x.clone(), passing.clone()];
    let first = cell.run(&inputs).expect("runs");
    assert_eq!(first[2].bytes().as_ptr(), passing.bytes().as_ptr(), "what passes through stays where it is");
    let mut sums = vec![0.0; width];
    let x = x.view::<f32>().expect("floats");
    for (row, x) in first[1].view::<f32>().expect("floats").chunks(width).zip(x.chunks(width)) {
        sums.iter_mut().zip(x).for_each(|(s, x)| *s += x);
        assert_eq!(row, sums);
    }
    assert_eq!(first[0].view::<f32>().expect("floats"), sums);
    drop(first);
    counted(&cell, &inputs)
}

fn a_turn_costs_the_same_whatever_passes_through() {
    for width in [1, 16, 300] {
        let mut turns = Vec::new();
        for through in [1, 100, 100_000] {
            for n in [50, 100, 400] {
                let ([few, few_bytes], [many, many_bytes]) = (cost(n, width, through), cost(2 * n, width, through));
                // The list itself is allocated once; what is left is for the turns.
                turns.push(((many - few) / n, (many_bytes - few_bytes - n * width * 4) / n));
            }
        }
        let (count, bytes) = turns[0];
        assert!(turns.iter().all(|t| t.0 == count && t.1.abs_diff(bytes) < 16), "width {width}: {turns:?}");
        assert!(count < 100 && bytes < 8 << 10, "width {width}: {turns:?}");
    }
}

/// Allocations and their bytes in a run, that is not the first, of a loop that goes on until its state reaches `turns`, and collects
/// rows of `width` elements meanwhile.
fn cost_until(turns: usize, width: usize) -> [usize; 2] {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/loop_until/model.onnx");
    let model = mindir::load(path).expect("the model is right");
    let cell = GraphCell::new(model, Options { threads: Some(1), ..Options::default() }).expect("supported");
    let inputs = [Tensor::zeros(DType::F32, &[width / 4, 4]).expect("a tensor"), Tensor::scalar(turns as f32)];
    let first = cell.run(&inputs).expect("runs");
    let rows = first[1].view::<f32>().expect("floats");
    assert_eq!(first[1].shape(), [turns, width / 4, 4]);
    assert!(rows.chunks(width).enumerate().all(|(i, row)| row.iter().all(|x| *x == ((i + 1) * (i + 1)) as f32)));
    counted(&cell, &inputs)
}

fn lists_of_unknown_length_grow_with_the_turns() {
    for width in [4, 400] {
        let [few, many] = [400, 1600].map(|turns| cost_until(turns, width));
        for (few, many) in few.into_iter().zip(many) {
            // A list that doubles its room may have just done so.
            assert!(many < 6 * few, "rows of {width}: {few} for 400 turns, {many} for 1600");
        }
    }
}

// One test, because all count the allocations of the process.
#[test]
fn a_turn_costs_what_it_computes() {
    a_turn_costs_the_same_whatever_passes_through();
    lists_of_unknown_length_grow_with_the_turns();
}
