//! Plans and what they share: right whatever was planned before, and by how many threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use mindir::builder::Builder;
use mindir::graph::{Arg, Closure, Model};
use mindir::{DType, Error, GraphCell, OpError, Options, Spec, Tensor};
use mindir_tests::models::{convolutions, numbers, open};

fn options(threads: usize) -> Options {
    Options { threads: Some(threads), ..Options::default() }
}

/// `layers` layers `±(x · transpose(w))`, each ended by a branch whose condition is computed: a run makes more plans than a
/// cell keeps. Weights are signed permutations, so that results are exact: they come with the model.
fn chain(layers: usize, width: usize, x: &Tensor) -> Result<(Model, Tensor), OpError> {
    let rows = x.shape()[0];
    let mut b = Builder::new("chain");
    let spec = Spec::fixed(DType::F32, &[rows, width]);
    let negate = b.begin("negate");
    let v = b.input("v", spec.clone());
    let y = b.op("Neg", [v.into()])?;
    b.end(&[y]);
    let absolute = b.begin("absolute");
    let v = b.input("v", spec.clone());
    let y = b.op("Abs", [v.into()])?;
    b.end(&[y]);
    let mut y = b.input("x", spec);
    let mut want = x.view::<f32>().unwrap().to_vec();
    for layer in 0..layers {
        let from = |j: usize| (j * 5 + layer * 7 + 3) % width;
        let sign = |j: usize| if (j * layer).is_multiple_of(3) { -1.0 } else { 1.0 };
        let mut w = vec![0.0f32; width * width];
        (0..width).for_each(|j| w[j * width + from(j)] = sign(j));
        let w = b.param(&format!("w{layer}"), Tensor::from_vec(&[width, width], w).unwrap());
        let w = b.op("Transpose", [w.into(), Arg::from(&[1i64, 0][..])])?;
        let product = b.op("MatMul", [y.into(), w.into()])?;
        let most = b.op("ReduceMax", [product.into(), Arg::from(&[0i64, 1][..]), false.into()])?;
        let above = b.op("Greater", [most.into(), (-1e30f32).into()])?;
        let closure = |graph| Closure { graph, args: vec![product.into()] };
        y = b.choose(above, closure(negate), closure(absolute), 1)[0];
        want = want
            .chunks(width)
            .flat_map(|row| (0..width).map(|j| -sign(j) * row[from(j)]).collect::<Vec<_>>())
            .collect();
    }
    Ok((b.finish(&[y]), Tensor::from_vec(&[rows, width], want).unwrap()))
}

#[test]
fn more_plans_than_a_cell_keeps_give_exact_results() {
    let x = numbers(&[8, 144], 1);
    let (model, want) = chain(80, 144, &x).unwrap();
    let cell = GraphCell::new(model, options(2)).unwrap();
    for _ in 0..2 {
        assert_eq!(cell.run(std::slice::from_ref(&x)).unwrap(), std::slice::from_ref(&want));
    }
}

/// Calls of all threads together.
const CALLS: usize = if cfg!(debug_assertions) { 1000 } else { 24_000 };

#[test]
fn threads_and_shapes_give_the_bits_of_a_fresh_cell() {
    let model = Arc::new(convolutions(16).unwrap());
    let inputs: Vec<Tensor> = (0..8).map(|i| numbers(&[1 + i % 2, 3, 9 + i, 14 - i], i as u64)).collect();
    let fresh = |x: &Tensor| {
        GraphCell::new(convolutions(16).unwrap(), options(1)).unwrap().run(std::slice::from_ref(x)).unwrap()
    };
    let want: Vec<Vec<Tensor>> = inputs.iter().map(fresh).collect();
    for threads in [2, 4, 8] {
        // Room for two or three shapes: plans and memory come and go.
        let options = Options { plan_memory: 100 << 10, ..options(1) };
        let cell = GraphCell::new(model.clone(), options).unwrap();
        let wrong = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for t in 0..threads {
                let (cell, wrong, inputs, want) = (&cell, &wrong, &inputs, &want);
                s.spawn(move || {
                    for call in 0..CALLS / threads {
                        let i = (call * (2 * t + 1) + t) % inputs.len();
                        if cell.run(std::slice::from_ref(&inputs[i])).unwrap() != want[i] {
                            wrong.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(wrong.into_inner(), 0, "{threads} threads");
    }
}

#[test]
fn first_calls_at_the_same_time_may_need_contents() {
    let mut b = Builder::new("reshape");
    let x = b.input("x", open(&[None]));
    let n = b.input("n", Spec::fixed(DType::I64, &[]));
    let twice = b.op("Add", [n.into(), n.into()]).unwrap();
    let rows = b.op("Tile", [x.into(), Arg::List(vec![twice.into()])]).unwrap();
    let model = Arc::new(b.finish(&[rows]));
    for round in 0..20 {
        let cell = GraphCell::new(model.clone(), options(1)).unwrap();
        let barrier = Barrier::new(8);
        std::thread::scope(|s| {
            for t in 0..8i64 {
                let (cell, barrier) = (&cell, &barrier);
                s.spawn(move || {
                    barrier.wait();
                    let n = 1 + (t + round) % 4;
                    let y = cell.run(&[Tensor::vector(&[1.0f32, 2.0]), Tensor::scalar(n)]).unwrap();
                    assert_eq!(y[0].shape(), [4 * n as usize]);
                });
            }
        });
    }
}

/// Adds `x` to a parameter, branches on its sum, and picks from it by an index that must fit.
fn counter() -> Model {
    let mut b = Builder::new("counter");
    let total = b.add_param("total", Tensor::vector(&[0.0f32, 0.0]));
    let x = b.input("x", Spec::fixed(DType::F32, &[2]));
    let i = b.input("i", Spec::fixed(DType::I64, &[]));
    let now = b.read_param(total);
    let sum = b.op("AssignAdd", [now.into(), x.into()]).unwrap();
    let most = b.op("ReduceMax", [sum.into(), Arg::from(&[0i64][..]), false.into()]).unwrap();
    let above = b.op("Greater", [most.into(), 0.0f32.into()]).unwrap();
    let pick = b.begin("pick");
    let (v, at) = (b.input("v", Spec::fixed(DType::F32, &[2])), b.input("at", Spec::fixed(DType::I64, &[])));
    let picked = b.op("ReduceSum", [v.into(), at.into(), false.into()]).unwrap();
    b.end(&[picked]);
    let closure = || Closure { graph: pick, args: vec![sum.into(), i.into()] };
    let y = b.choose(above, closure(), closure(), 1);
    b.finish(&y)
}

#[test]
fn a_call_that_fails_leaves_the_parameters_as_they_were() {
    let cell = GraphCell::new(counter(), options(1)).unwrap();
    let x = Tensor::vector(&[1.0f32, 2.0]);
    let call = |i: i64| cell.run(&[x.clone(), Tensor::scalar(i)]);
    assert_eq!(call(0).unwrap(), [Tensor::scalar(3.0f32)]);
    let error = call(7).unwrap_err();
    assert!(matches!(error, Error::Node(_) | Error::Shapes { .. }), "{error:?}");
    assert_eq!(cell.param("total").unwrap(), x);
    assert_eq!(call(0).unwrap(), [Tensor::scalar(6.0f32)]);
}

#[test]
fn unlike_plans_are_told_apart_by_their_constants() {
    // Products with constants of equal shapes and different contents, made by the same task, live next to each other.
    let mut b = Builder::new("twins");
    let x = b.input("x", open(&[None, Some(160)]));
    let mut results = Vec::new();
    for i in 0..6u64 {
        let w = b.param(&format!("w{i}"), numbers(&[160, 160], 100 + i % 3));
        let turned = b.op("Transpose", [w.into(), Arg::from(&[1i64, 0][..])]).unwrap();
        results.push(b.op("MatMul", [x.into(), turned.into()]).unwrap());
    }
    let cell = GraphCell::new(b.finish(&results), options(1)).unwrap();
    for rows in [1, 3, 5] {
        let y = cell.run(&[numbers(&[rows, 160], 7)]).unwrap();
        for i in 0..3 {
            assert_eq!(y[i], y[i + 3], "equal weights");
            assert_ne!(y[i], y[(i + 1) % 3], "other weights");
        }
    }
}
