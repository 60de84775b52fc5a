//! References against numbers that MindSpore 2.10 computes on a CPU.

use mindir_graph::DType::{Bool, F32, I32, I64};
use mindir_graph::op::{ArgValue, Args, Const, Operand, ParamKind};
use mindir_graph::ops::find;
use mindir_graph::task::V;
use mindir_graph::{DType, Tensor};

const INF: f64 = f64::INFINITY;

fn tensor(dtype: DType, dims: &[usize], data: &[f64]) -> ArgValue {
    let t = Tensor::from_f64s(dtype, dims, data).unwrap();
    ArgValue::Operand(Operand { v: V(0), fact: t.fact().into(), known: Some(t) })
}

fn vector(dtype: DType, data: &[f64]) -> ArgValue {
    tensor(dtype, &[data.len()], data)
}

fn int(i: i64) -> ArgValue {
    ArgValue::Const(Const::Int(i))
}

fn truth(b: bool) -> ArgValue {
    ArgValue::Const(Const::Bool(b))
}

fn ints(items: &[i64]) -> ArgValue {
    ArgValue::Const(Const::Tuple(items.iter().map(|i| Const::Int(*i)).collect()))
}

/// Results as types, shapes and numbers.
fn run(op: &str, items: Vec<ArgValue>) -> Vec<(DType, Vec<usize>, Vec<f64>)> {
    let def = find(op).unwrap();
    let number = |(i, arg): (usize, ArgValue)| match (&arg, def.params[i].kind) {
        (_, ParamKind::Value) => arg,
        (ArgValue::Const(Const::Int(x)), _) => tensor(I64, &[], &[*x as f64]),
        _ => arg,
    };
    let items = items.into_iter().enumerate().map(number).map(Some).collect();
    let args = Args { op: def.name, items };
    let results = def.reference(&args).unwrap();
    results.iter().map(|t| (t.dtype(), t.shape().to_vec(), t.to_f64s().unwrap())).collect()
}

#[track_caller]
fn check(op: &str, items: Vec<ArgValue>, want: &[(DType, &[usize], &[f64])]) {
    let got = run(op, items);
    assert_eq!(got.len(), want.len(), "{op}");
    for ((d, dims, data), (want_d, want_dims, want)) in got.iter().zip(want) {
        assert_eq!((d, dims.as_slice()), (want_d, *want_dims), "{op}");
        let close =
            |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < 2e-5 * b.abs().max(1.0);
        assert!(data.len() == want.len() && data.iter().zip(*want).all(close), "{op}: {data:?}, expected {want:?}");
    }
}

#[test]
fn division_and_remainder_of_every_sign() {
    let a = || vector(I32, &[-7.0, 7.0, -7.0, 7.0]);
    let b = || vector(I32, &[2.0, -2.0, -2.0, 2.0]);
    let want = |op, d, y: &[f64]| check(op, vec![a(), b()], &[(d, &[4], y)]);
    want("Div", F32, &[-3.5, -3.5, 3.5, 3.5]);
    want("RealDiv", I32, &[-3.0, -3.0, 3.0, 3.0]);
    want("FloorDiv", I32, &[-4.0, -4.0, 3.0, 3.0]);
    want("TruncateDiv", I32, &[-3.0, -3.0, 3.0, 3.0]);
    want("FloorMod", I32, &[1.0, -1.0, -1.0, 1.0]);
    want("Mod", I32, &[-1.0, 1.0, -1.0, 1.0]);
    want("TruncateMod", I32, &[-1.0, 1.0, -1.0, 1.0]);
    want("Pow", I32, &[49.0, 0.0, 0.0, 49.0]);
}

#[test]
fn division_by_zero() {
    let a = || vector(F32, &[0.0, 1.0, -1.0, 5.0]);
    let b = || vector(F32, &[0.0, 0.0, 0.0, INF]);
    check("Div", vec![a(), b()], &[(F32, &[4], &[f64::NAN, INF, -INF, 0.0])]);
    check("DivNoNan", vec![a(), b()], &[(F32, &[4], &[0.0, 0.0, 0.0, 0.0])]);
    check("Xdivy", vec![a(), b()], &[(F32, &[4], &[0.0, INF, -INF, 0.0])]);
    check("MulNoNan", vec![vector(F32, &[INF]), vector(F32, &[0.0])], &[(F32, &[1], &[0.0])]);
}

#[test]
fn numbers_keep_the_tensors_type() {
    let f = |i| vector(i, &[1.0, 2.0]);
    let half = || ArgValue::Operand(Operand { v: V(0), ..operand(&tensor(F32, &[], &[0.5])) });
    check("Muls", vec![f(DType::F16), int(3)], &[(DType::F16, &[2], &[3.0, 6.0])]);
    check("Muls", vec![f(I32), int(3)], &[(I32, &[2], &[3.0, 6.0])]);
    check("Muls", vec![f(I32), half()], &[(F32, &[2], &[0.5, 1.0])]);
    check("Divs", vec![f(I32), int(4)], &[(F32, &[2], &[0.25, 0.5])]);
    check("Add", vec![f(DType::U8), f(DType::I8)], &[(DType::I16, &[2], &[2.0, 4.0])]);
    check("Add", vec![f(DType::F16), f(DType::BF16)], &[(F32, &[2], &[2.0, 4.0])]);
}

fn operand(arg: &ArgValue) -> Operand {
    match arg {
        ArgValue::Operand(o) => o.clone(),
        other => panic!("{other:?} is no tensor"),
    }
}

#[test]
fn activations() {
    let x = || vector(F32, &[-3.7, -2.5, -1.0, -0.5, 0.3, 2.5]);
    let want = |op, y: &[f64]| {
        let got = run(op, vec![x()]);
        assert!(got[0].2.iter().zip(y).all(|(a, b)| (a - b).abs() < 1.1e-4), "{op}: {:?}", got[0].2);
    };
    want("GeLU", &[-0.0002, -0.0150, -0.1588, -0.1542, 0.1853, 2.4849]);
    want("FastGeLU", &[-0.0067, -0.0349, -0.1542, -0.1496, 0.1874, 2.4650]);
    want("HSwish", &[0.0, -0.2083, -0.3333, -0.2083, 0.1650, 2.2916]);
    want("Mish", &[-0.0903, -0.1968, -0.3034, -0.2207, 0.2080, 2.4713]);
    want("SeLU", &[-1.7146, -1.6137, -1.1113, -0.6917, 0.3152, 2.6267]);
    want("SoftShrink", &[-3.2, -2.0, -0.5, 0.0, 0.0, 2.0]);
    want("Round", &[-4.0, -2.0, -1.0, 0.0, 0.0, 2.0]);
}

#[test]
fn reductions() {
    let i = || tensor(I32, &[2, 3], &[1.0, -5.0, 5.0, 3.0, 9.0, 2.0]);
    let x = || tensor(F32, &[2, 3], &[1.0, 5.0, 5.0, 3.0, 9.0, 2.0]);
    check("ReduceMean", vec![i(), ints(&[1])], &[(I32, &[2], &[0.0, 4.0])]);
    check("SumExt", vec![i(), int(1)], &[(I64, &[2], &[1.0, 14.0])]);
    check(
        "ReduceStd",
        vec![x(), ints(&[1]), truth(true), truth(true)],
        &[(F32, &[2, 1], &[2.3094, 3.78594]), (F32, &[2, 1], &[3.66667, 4.66667])],
    );
    check("ArgMaxWithValue", vec![x(), int(1)], &[(I64, &[2], &[1.0, 1.0]), (F32, &[2], &[5.0, 9.0])]);
    check("LpNorm", vec![x(), ints(&[1]), int(3)], &[(F32, &[2], &[6.30799, 9.14179])]);
    check(
        "Cummax",
        vec![x(), int(1)],
        &[(F32, &[2, 3], &[1.0, 5.0, 5.0, 3.0, 9.0, 9.0]), (I64, &[2, 3], &[0.0, 1.0, 2.0, 0.0, 1.0, 1.0])],
    );
    let backwards = vec![x(), int(1), truth(true), truth(true)];
    check("CumSum", backwards, &[(F32, &[2, 3], &[10.0, 5.0, 0.0, 11.0, 2.0, 0.0])]);
}

#[test]
fn order() {
    let x = || tensor(F32, &[2, 3], &[1.0, 5.0, 5.0, 3.0, 9.0, 2.0]);
    check("TopK", vec![x(), int(2)], &[(F32, &[2, 2], &[5.0, 5.0, 9.0, 3.0]), (I32, &[2, 2], &[1.0, 2.0, 1.0, 0.0])]);
    check(
        "Unique",
        vec![vector(I32, &[3.0, 1.0, 3.0, 2.0, 1.0])],
        &[(I32, &[3], &[3.0, 1.0, 2.0]), (I32, &[5], &[0.0, 1.0, 0.0, 2.0, 1.0])],
    );
    let mask = tensor(Bool, &[2, 2], &[1.0, 0.0, 1.0, 1.0]);
    check("NonZero", vec![mask], &[(I64, &[3, 2], &[0.0, 0.0, 1.0, 0.0, 1.0, 1.0])]);
    let (rows, values) =
        (tensor(F32, &[2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]), tensor(F32, &[2, 2], &[3.0, 9.0, 4.0, 0.0]));
    check("SearchSorted", vec![rows, values], &[(I64, &[2, 2], &[1.0, 3.0, 1.0, 0.0])]);
}

#[test]
fn created() {
    check("Range", vec![int(8), int(1), int(-3)], &[(I64, &[3], &[8.0, 5.0, 2.0])]);
    let (one, ten) = (tensor(F32, &[], &[1.0]), tensor(F32, &[], &[10.0]));
    check("LinSpace", vec![one, ten, int(5)], &[(F32, &[5], &[1.0, 3.25, 5.5, 7.75, 10.0])]);
    let hot = vec![vector(I32, &[0.0, 5.0, -1.0]), int(2), tensor(F32, &[], &[1.0]), tensor(F32, &[], &[0.0])];
    check("OneHot", hot, &[(F32, &[3, 2], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0])]);
    check("Diag", vec![vector(I64, &[1.0, 2.0])], &[(I64, &[2, 2], &[1.0, 0.0, 0.0, 2.0])]);
}

#[test]
fn special_functions() {
    let x = || vector(F32, &[0.5, -0.5, 3.2]);
    check("Lgamma", vec![x()], &[(F32, &[3], &[0.5723649, 1.2655121, 0.8854049])]);
    check("Digamma", vec![x()], &[(F32, &[3], &[-1.9635109, 0.03648978, 0.9988388])]);
    check("Erfinv", vec![vector(F32, &[0.1, -0.9])], &[(F32, &[2], &[0.08885599, -1.1630871])]);
    check("BesselI1", vec![vector(F32, &[0.5, -3.0])], &[(F32, &[2], &[0.25789434, -3.953371])]);
}

#[test]
fn resizing_reads_no_neighbour_beyond_an_element() {
    let line = tensor(F32, &[1, 1, 3], &[1.0, INF, 2.0]);
    let corners = ArgValue::Const(Const::Str("align_corners".into()));
    let want = [1.0, INF, INF, INF, 2.0];
    check("ResizeLinear1D", vec![line, ints(&[5]), corners], &[(F32, &[1, 1, 5], &want)]);
    let volume = tensor(F32, &[1, 1, 1, 2, 2], &[1.0, 2.0, INF, 4.0]);
    let want = [1.0, 1.25, 1.75, 2.0, INF, INF, INF, 4.0];
    check("UpsampleTrilinear3D", vec![volume, ints(&[1, 2, 4])], &[(F32, &[1, 1, 1, 2, 4], &want)]);
}

#[test]
fn large_integers_are_exact() {
    let operand = |x: i64| {
        let t = Tensor::vector(&[x]);
        ArgValue::Operand(Operand { v: V(0), fact: t.fact().into(), known: Some(t) })
    };
    let computed = |op: &'static str, a, b| {
        let args = Args { op, items: vec![Some(operand(a)), Some(operand(b))] };
        find(op).unwrap().reference(&args).unwrap()[0].to_i64s().unwrap()
    };
    assert_eq!(computed("TruncateDiv", (1 << 53) + 1, 1), [(1 << 53) + 1]);
    assert_eq!(computed("TruncateDiv", -(1 << 62) - 3, 2), [-(1 << 61) - 1]);
    assert_eq!(computed("SquaredDifference", (1 << 30) + 1, 0), [(1 << 60) + (1 << 31) + 1]);
}
