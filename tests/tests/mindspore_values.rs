//! References against numbers that MindSpore 2.10 computed on the CPU.

use mindir_graph::op::{ArgValue, Args, Const, Operand};
use mindir_graph::task::V;
use mindir_graph::{DType, Tensor, ops};

fn tensor(t: Tensor) -> Option<ArgValue> {
    Some(ArgValue::Operand(Operand { v: V(0), fact: t.fact().into(), known: Some(t) }))
}

fn floats(dims: &[usize], data: &[f64]) -> Option<ArgValue> {
    tensor(Tensor::from_f64s(DType::F32, dims, data).unwrap())
}

/// 0, 1, 2, …
fn range(dims: &[usize]) -> Option<ArgValue> {
    floats(dims, &(0..dims.iter().product()).map(|i: usize| i as f64).collect::<Vec<_>>())
}

fn indices(dims: &[usize], data: &[i64]) -> Option<ArgValue> {
    tensor(Tensor::from_i64s(DType::I32, dims, data).unwrap())
}

fn int(i: i64) -> Option<ArgValue> {
    Some(ArgValue::Const(Const::Int(i)))
}

fn tuple(values: &[i64]) -> Option<ArgValue> {
    Some(ArgValue::Const(Const::Tuple(values.iter().map(|&i| Const::Int(i)).collect())))
}

fn real(x: f64) -> Option<ArgValue> {
    Some(ArgValue::Const(Const::Double(x)))
}

fn text(s: &str) -> Option<ArgValue> {
    Some(ArgValue::Const(Const::Str(s.into())))
}

fn flag(b: bool) -> Option<ArgValue> {
    Some(ArgValue::Const(Const::Bool(b)))
}

#[derive(Default)]
struct Checks {
    failures: Vec<String>,
}

impl Checks {
    /// Compares result `result` of operator `op`.
    fn check(&mut self, op: &'static str, items: Vec<Option<ArgValue>>, result: usize, dims: &[usize], want: &[f64]) {
        let def = ops::find(op).unwrap_or_else(|| panic!("no operator {op}"));
        let args = Args { op, items };
        let facts = match def.infer(&args) {
            Ok(facts) => facts,
            Err(e) => return self.failures.push(format!("{op}: {e}")),
        };
        let got = match def.reference(&args) {
            Ok(got) => got,
            Err(e) => return self.failures.push(format!("{op}: {e}")),
        };
        let values = got[result].to_f64s().unwrap();
        let near = values.len() == want.len()
            && values.iter().zip(want).all(|(g, w)| {
                g.to_bits() == w.to_bits()
                    || g == w
                    || g.is_nan() && w.is_nan()
                    || (g - w).abs() < 2e-5 * w.abs().max(1.0)
            });
        if !near || got[result].shape() != dims || facts[result] != got[result].fact() {
            self.failures.push(format!("{op}: got {:?} {values:?}, want {dims:?} {want:?}", got[result].fact()));
        }
    }

    fn finish(self) {
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }
}

#[test]
fn picking() {
    let mut c = Checks::default();
    let x = || range(&[2, 3]);
    c.check("Gather", vec![x(), indices(&[2, 2], &[0, 2, 1, 1]), int(1), int(1)], 0, &[2, 2], &[0.0, 2.0, 4.0, 4.0]);
    c.check("GatherD", vec![x(), int(1), indices(&[2, 2], &[0, -1, 2, -3])], 0, &[2, 2], &[0.0, 2.0, 5.0, 3.0]);
    let look = vec![range(&[4, 2]), indices(&[5], &[5, 2, 0, 7, -1]), int(1)];
    c.check("EmbeddingLookup", look, 0, &[5, 2], &[0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let updates = floats(&[3], &[1.0, 2.0, 3.0]);
    c.check("ScatterNd", vec![indices(&[3, 1], &[1, 1, 0]), updates, tuple(&[3])], 0, &[3], &[3.0, 3.0, 0.0]);
    let elements = |axis, how| {
        let index = indices(&[2, 2], if axis == 0 { &[0, 0, 2, 1] } else { &[0, 0, -1, 1] });
        vec![
            range(&[3, 2]),
            index,
            floats(&[2, 2], &[9.0, if axis == 0 { 9.0 } else { 8.0 }, 5.0, 6.0]),
            int(axis),
            text(how),
        ]
    };
    c.check("TensorScatterElements", elements(0, "add"), 0, &[3, 2], &[9.0, 10.0, 2.0, 9.0, 9.0, 5.0]);
    c.check("TensorScatterElements", elements(1, "none"), 0, &[3, 2], &[8.0, 1.0, 2.0, 6.0, 4.0, 5.0]);
    let segments = || vec![range(&[4]), indices(&[4], &[0, 2, 0, -1]), int(3)];
    c.check("UnsortedSegmentMax", segments(), 0, &[3], &[2.0, f64::from(f32::MIN), 1.0]);
    c.check("UnsortedSegmentSum", segments(), 0, &[3], &[2.0, 0.0, 1.0]);
    let lengths = vec![range(&[2, 4]), indices(&[2], &[2, 3]), int(1), int(0)];
    c.check("ReverseSequence", lengths, 0, &[2, 4], &[1.0, 0.0, 2.0, 3.0, 6.0, 5.0, 4.0, 7.0]);
    c.finish();
}

#[test]
fn slices() {
    let mut c = Checks::default();
    let five = |b, e, s| vec![range(&[5]), tuple(&[b]), tuple(&[e]), tuple(&[s])];
    c.check("StridedSlice", five(4, 0, -2), 0, &[2], &[4.0, 2.0]);
    c.check("StridedSlice", five(-1, -6, -1), 0, &[5], &[4.0, 3.0, 2.0, 1.0, 0.0]);
    c.check("StridedSlice", five(3, 2, 1), 0, &[0], &[]);
    c.check("StridedSlice", five(-10, 10, 2), 0, &[3], &[0.0, 2.0, 4.0]);
    let masked = |x: &[usize], b: &[i64], e: &[i64], masks: [i64; 5]| {
        let mut items = vec![range(x), tuple(b), tuple(e), tuple(&vec![1; b.len()])];
        items.extend(masks.map(int));
        items
    };
    c.check("StridedSlice", masked(&[3, 2], &[-1, 0], &[0, 2], [0, 0, 0, 0, 1]), 0, &[2], &[4.0, 5.0]);
    let six = [0.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    c.check(
        "StridedSlice",
        masked(&[2, 3, 2], &[0, 1], &[0, 2], [0, 0, 1, 0, 0]),
        0,
        &[2, 3, 1],
        &six.map(|v| v + 1.0),
    );
    let odd = six.map(|v| v + 1.0);
    c.check("StridedSlice", masked(&[2, 3, 2], &[0, 0, 1], &[0, 0, 2], [0, 0, 2, 1, 4]), 0, &[1, 2, 3], &odd);
    let nine = [1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 9.0, 10.0, 11.0];
    c.check("StridedSlice", masked(&[3, 4], &[2, 1], &[3, 2], [1, 2, 0, 0, 0]), 0, &[3, 3], &nine);
    c.check("Slice", vec![range(&[3, 4]), tuple(&[1, 1]), tuple(&[-1, 2])], 0, &[2, 2], &[5.0, 6.0, 9.0, 10.0]);
    c.check("SliceExt", vec![range(&[5]), int(0), int(-3), int(10), int(1)], 0, &[3], &[2.0, 3.0, 4.0]);
    c.finish();
}

#[test]
fn borders() {
    let mut c = Checks::default();
    let pad = |x: &[usize], p: &[i64], value, mode, contiguous| {
        vec![range(x), tuple(p), real(value), text(mode), flag(contiguous)]
    };
    let want = [1.0, 0.0, 1.0, 2.0, 1.0, 0.0];
    c.check("PadV3", pad(&[1, 1, 3], &[1, 2], 0.0, "reflect", true), 0, &[1, 1, 6], &want);
    let want = [1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0, 3.0, 4.0, 5.0, 3.0];
    c.check("PadV3", pad(&[1, 2, 3], &[2, 1], 0.0, "circular", true), 0, &[1, 2, 6], &want);
    let want = [9.0, 0.0, 1.0, 2.0, 9.0, 3.0, 4.0, 5.0, 9.0, 9.0, 9.0, 9.0];
    c.check("PadV3", pad(&[2, 3], &[1, 0, 0, 1], 9.0, "constant", true), 0, &[3, 4], &want);
    c.check("PadV3", pad(&[2, 3], &[-1, 0, 0, 1], 9.0, "constant", true), 0, &[3, 2], &[1.0, 2.0, 4.0, 5.0, 9.0, 9.0]);
    let mut want = vec![9.0; 30];
    [(5, 0.0), (6, 1.0), (7, 2.0), (10, 3.0), (11, 4.0), (12, 5.0)].iter().for_each(|&(i, v)| want[i] = v);
    c.check("PadV3", pad(&[2, 3], &[0, 1, 2, 3], 9.0, "constant", false), 0, &[6, 5], &want);
    let mirror = |mode| vec![range(&[2, 3]), tuple(&[1, 1, 2, 1]), text(mode)];
    let row = |a: [f64; 6], b: [f64; 6]| [a, b];
    let [a, b] = row([1.0, 0.0, 0.0, 1.0, 2.0, 2.0], [4.0, 3.0, 3.0, 4.0, 5.0, 5.0]);
    c.check("MirrorPad", mirror("SYMMETRIC"), 0, &[4, 6], &[a, a, b, b].concat());
    let [a, b] = row([2.0, 1.0, 0.0, 1.0, 2.0, 1.0], [5.0, 4.0, 3.0, 4.0, 5.0, 4.0]);
    c.check("MirrorPad", mirror("REFLECT"), 0, &[4, 6], &[b, a, b, a].concat());
    c.finish();
}

#[test]
fn blocks() {
    let mut c = Checks::default();
    let eight = [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0];
    c.check("DepthToSpace", vec![range(&[1, 8, 1, 1]), int(2)], 0, &[1, 2, 2, 2], &eight);
    let eight = [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0];
    c.check("SpaceToDepth", vec![range(&[1, 2, 2, 2]), int(2)], 0, &[1, 8, 1, 1], &eight);
    let to = vec![range(&[1, 1, 2, 2]), tuple(&[2, 2]), tuple(&[0, 0, 0, 2])];
    c.check("SpaceToBatchND", to, 0, &[4, 1, 1, 2], &[0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0]);
    let from = vec![range(&[4, 1, 1, 2]), tuple(&[2, 2]), tuple(&[0, 0, 0, 1])];
    c.check("BatchToSpaceND", from, 0, &[1, 1, 2, 3], &[0.0, 2.0, 1.0, 4.0, 6.0, 5.0]);
    let col =
        vec![range(&[1, 1, 3, 3]), tuple(&[2, 2]), tuple(&[1, 1]), tuple(&[1, 1]), text("CALCULATED"), tuple(&[0, 0])];
    let want = [0.0, 1.0, 3.0, 4.0, 1.0, 2.0, 4.0, 5.0, 3.0, 4.0, 6.0, 7.0, 4.0, 5.0, 7.0, 8.0];
    c.check("Im2Col", col, 0, &[1, 1, 4, 4], &want);
    c.finish();
}

#[test]
fn convolutions() {
    let mut c = Checks::default();
    let conv = |k: usize, mode, pad: i64, stride: i64| {
        let (x, w) = (range(&[1, 1, 4, 5]), range(&[1, 1, k, k]));
        let kernel = tuple(&[k as i64; 2]);
        vec![x, w, None, kernel, int(1), text(mode), tuple(&[pad; 4]), tuple(&[-1; 4]), tuple(&[1, 1, stride, stride])]
    };
    c.check("Conv2D", conv(3, "same", 0, 2), 0, &[1, 1, 2, 3], &[210.0, 348.0, 240.0, 172.0, 244.0, 144.0]);
    c.check("Conv2D", conv(2, "same", 0, 2), 0, &[1, 1, 2, 3], &[29.0, 41.0, 18.0, 89.0, 101.0, 38.0]);
    c.check("Conv2D", conv(3, "valid", 0, 2), 0, &[1, 1, 1, 2], &[312.0, 384.0]);
    c.check("Conv2D", conv(2, "pad", 1, 2), 0, &[1, 1, 3, 3], &[0.0, 8.0, 18.0, 35.0, 65.0, 77.0, 15.0, 17.0, 19.0]);
    let back = vec![
        range(&[1, 1, 2, 2]),
        range(&[1, 1, 3, 3]),
        tuple(&[1, 1, 4, 4]),
        None,
        tuple(&[3, 3]),
        int(1),
        text("SAME"),
        tuple(&[0; 4]),
        tuple(&[0, 1, 0, 1]),
        tuple(&[1, 1, 2, 2]),
    ];
    let want = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 3.0, 4.0, 0.0, 2.0, 10.0, 10.0, 6.0, 8.0, 19.0, 12.0];
    c.check("Conv2DTranspose", back, 0, &[1, 1, 4, 4], &want);
    let cube = || range(&[1, 1, 2, 2, 2]);
    let same = vec![cube(), cube(), None, tuple(&[2, 2, 2]), int(1), text("same")];
    c.check("Conv3D", same, 0, &[1, 1, 2, 2, 2], &[140.0, 68.0, 62.0, 28.0, 38.0, 14.0, 7.0, 0.0]);
    c.finish();
}

#[test]
fn pools() {
    let mut c = Checks::default();
    let pool = |x: &[usize], k: i64, s: i64, mode| vec![range(x), tuple(&[k, k]), tuple(&[s, s]), mode];
    c.check("AvgPool", pool(&[1, 1, 4, 5], 3, 2, int(1)), 0, &[1, 1, 2, 3], &[5.5, 7.0, 8.5, 13.0, 14.5, 16.0]);
    let want = [2.0, 3.0, 3.5, 5.0, 6.0, 6.5, 6.5, 7.5, 8.0];
    c.check("AvgPool", pool(&[1, 1, 3, 3], 2, 1, int(1)), 0, &[1, 1, 3, 3], &want);
    let want = [11.0, 13.0, 14.0, 16.0, 18.0, 19.0];
    c.check("MaxPool", pool(&[1, 1, 4, 5], 3, 2, text("SAME")), 0, &[1, 1, 2, 3], &want);
    let adapted = || vec![range(&[1, 1, 3, 5]), tuple(&[2, 2])];
    c.check("AdaptiveMaxPool2D", adapted(), 1, &[1, 1, 2, 2], &[7.0, 9.0, 12.0, 14.0]);
    let kept = vec![range(&[1, 1, 3, 5]), tuple(&[-1, 2])];
    c.check("AdaptiveAvgPool2D", kept, 0, &[1, 1, 3, 2], &[1.0, 3.0, 6.0, 8.0, 11.0, 13.0]);
    let places =
        vec![range(&[1, 1, 4, 4]), tuple(&[3, 3]), tuple(&[2, 2]), tuple(&[1, 1]), tuple(&[1, 1]), flag(false)];
    c.check("MaxPoolWithArgmaxV2", places, 1, &[1, 1, 2, 2], &[5.0, 7.0, 13.0, 15.0]);
    let cube = |mode, pad: i64, counted| {
        let x = if pad == 0 { range(&[1, 1, 2, 2, 2]) } else { range(&[1, 1, 1, 2, 2]) };
        vec![x, int(2), int(1), text(mode), tuple(&[pad; 6]), flag(false), flag(counted)]
    };
    let same = [3.5, 2.0, 2.25, 1.25, 2.75, 1.5, 1.625, 0.875];
    c.check("AvgPool3D", cube("SAME", 0, true), 0, &[1, 1, 2, 2, 2], &same);
    let half = [0.0, 0.125, 0.125, 0.25, 0.75, 0.5, 0.25, 0.625, 0.375];
    c.check("AvgPool3D", cube("PAD", 1, true), 0, &[1, 1, 2, 3, 3], &[half, half].concat());
    let half = [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0];
    c.check("AvgPool3D", cube("PAD", 1, false), 0, &[1, 1, 2, 3, 3], &[half, half].concat());
    c.finish();
}

#[test]
fn normalisation() {
    let mut c = Checks::default();
    let ones = |n: usize| floats(&[n], &vec![1.0; n]);
    let zeros = |n: usize| floats(&[n], &vec![0.0; n]);
    let rows = || {
        let x = floats(&[2, 4], &[1.0, 2.0, 4.0, 8.0, 0.0, 1.0, 0.0, 3.0]);
        vec![x, ones(4), zeros(4), int(1), int(1), real(1e-5)]
    };
    let y = [-1.025755, -0.652753, 0.09325, 1.585257, -0.816494, 0.0, -0.816494, 1.632988];
    c.check("LayerNorm", rows(), 0, &[2, 4], &y);
    c.check("LayerNorm", rows(), 1, &[2, 1], &[3.75, 1.0]);
    c.check("LayerNorm", rows(), 2, &[2, 1], &[7.1875, 1.5]);
    let groups = || {
        let (weight, bias) = (floats(&[4], &[1.0, 1.0, 2.0, 1.0]), floats(&[4], &[0.0, 0.0, 0.0, 1.0]));
        vec![range(&[1, 4, 1, 2]), int(2), weight, bias, real(1e-5)]
    };
    let y = [-1.341635, -0.447212, 0.447212, 1.341635, -2.683271, -0.894424, 1.447212, 2.341635];
    c.check("GroupNorm", groups(), 0, &[1, 4, 1, 2], &y);
    c.check("GroupNorm", groups(), 2, &[1, 2], &[0.894424, 0.894424]);
    let squares: Vec<f64> = (0..12).map(|i| f64::from(i * i)).collect();
    let train =
        || vec![floats(&[4, 3], &squares), ones(3), zeros(3), zeros(3), ones(3), flag(true), real(1e-5), real(0.1)];
    let y = [
        -1.0, -1.066436, -1.111798, -0.714286, -0.67146, -0.640126, 0.142857, 0.197488, 0.235836, 1.571429, 1.540407,
        1.516088,
    ];
    c.check("BatchNorm", train(), 0, &[4, 3], &y);
    c.check("BatchNorm", train(), 3, &[3], &[31.5, 41.5, 53.5]);
    c.check("BatchNorm", train(), 4, &[3], &[992.25, 1442.25, 1982.25]);
    c.check("BatchNorm", train(), 5, &[3], &[3.15, 4.15, 5.35]);
    c.check("BatchNorm", train(), 6, &[3], &[133.2, 193.2, 265.2]);
    let length = |axis, eps| vec![floats(&[2, 2], &[0.1, 0.05, 3.0, 4.0]), int(axis), real(eps)];
    c.check("L2Normalize", length(-1, 0.04), 0, &[2, 2], &[0.5, 0.25, 0.6, 0.8]);
    c.check("L2Normalize", length(0, 1e-4), 0, &[2, 2], &[0.033315, 0.012499, 0.999445, 0.999922]);
    let x = floats(&[1, 6, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let near = vec![x, int(2), real(1.0), real(0.5), real(0.75)];
    c.check("LRN", near, 0, &[1, 6, 1, 1], &[0.210224, 0.25, 0.243213, 0.22646, 0.292672, 0.380806]);
    c.finish();
}

#[test]
fn resizing() {
    let mut c = Checks::default();
    let resize = |x: &[usize], out: &[i64], corners, centres| vec![range(x), tuple(out), flag(corners), flag(centres)];
    let (up, down) = ([1, 1, 2, 3], [1, 1, 5, 7]);
    let want = [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 5.0, 3.0, 4.0, 4.0, 5.0, 5.0];
    c.check("ResizeNearestNeighbor", resize(&up, &[3, 5], true, false), 0, &[1, 1, 3, 5], &want);
    let want = [0.0, 2.0, 4.0, 14.0, 16.0, 18.0];
    c.check("ResizeNearestNeighbor", resize(&down, &[2, 3], false, true), 0, &[1, 1, 2, 3], &want);
    let want = [8.0, 10.0, 12.0, 22.0, 24.0, 26.0];
    c.check("ResizeNearestNeighborV2", resize(&down, &[2, 3], false, true), 0, &[1, 1, 2, 3], &want);
    let want = [0.0, 0.6, 1.2, 1.8, 2.0, 2.0, 2.6, 3.2, 3.8, 4.0, 3.0, 3.6, 4.2, 4.8, 5.0];
    c.check("ResizeBilinearV2", resize(&up, &[3, 5], false, false), 0, &[1, 1, 3, 5], &want);
    let want = [5.916667, 8.25, 10.583333, 23.416666, 25.75, 28.083332];
    c.check("ResizeBilinearV2", resize(&down, &[2, 3], false, true), 0, &[1, 1, 2, 3], &want);
    let line = |centres| vec![floats(&[1, 1, 1, 3], &[0.0, 1.0, 4.0]), tuple(&[1, 5]), flag(false), flag(centres)];
    c.check("ResizeBicubic", line(false), 0, &[1, 1, 1, 5], &[0.0, 0.287672, 1.624627, 3.495461, 4.323894]);
    c.check("ResizeBicubic", line(true), 0, &[1, 1, 1, 5], &[-0.075526, 0.216692, 1.0, 2.99124, 4.226576]);
    let scales = Some(ArgValue::Const(Const::Tuple(vec![Const::Float(1.7), Const::Float(1.6)])));
    let want = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 3.0, 3.0, 4.0, 4.0];
    let none = Some(ArgValue::Const(Const::None));
    c.check("UpsampleNearest2D", vec![range(&up), none, scales], 0, &[1, 1, 3, 4], &want);
    let linear = vec![range(&[1, 1, 3]), tuple(&[5]), text("half_pixel")];
    c.check("ResizeLinear1D", linear, 0, &[1, 1, 5], &[0.0, 0.4, 1.0, 1.6, 2.0]);
    c.finish();
}

#[test]
fn boxes() {
    let mut c = Checks::default();
    let pair = |mode| {
        let anchors = floats(&[2, 4], &[0.0, 0.0, 10.0, 10.0, 1.0, 1.0, 4.0, 4.0]);
        vec![anchors, floats(&[2, 4], &[0.0, 0.0, 5.0, 5.0, 3.0, 3.0, 12.0, 8.0]), text(mode)]
    };
    c.check("IOU", pair("iou"), 0, &[2, 2], &[0.297521, 0.444444, 0.360902, 0.055556]);
    c.check("IOU", pair("iof"), 0, &[2, 2], &[1.0, 0.444444, 0.8, 0.066667]);
    let nms = |threshold| vec![floats(&[2, 5], &[0.0, 0.0, 10.0, 10.0, 0.9, 0.0, 0.0, 5.0, 5.0, 0.8]), real(threshold)];
    c.check("NMSWithMask", nms(0.25), 2, &[2], &[1.0, 1.0]);
    c.check("NMSWithMask", nms(0.24), 2, &[2], &[1.0, 0.0]);
    c.finish();
}

/// Operators of which few networks make use.
#[test]
fn rare_operators() {
    let mut c = Checks::default();
    let column = |values: &[i64]| indices(&[values.len()], values);
    let nine = || range(&[1, 1, 7, 7]);
    let pick = floats(&[1, 1, 2], &[0.9, 0.1]);
    let pooled = [8.0, 10.0, 11.0, 13.0, 15.0, 17.0, 18.0, 20.0, 29.0, 31.0, 32.0, 34.0, 43.0, 45.0, 46.0, 48.0];
    let args = vec![nine(), pick, tuple(&[2, 2]), tuple(&[4, 4])];
    c.check("FractionalMaxPoolWithFixedKsize", args, 0, &[1, 1, 4, 4], &pooled);
    c.check(
        "TriuIndices",
        vec![int(4), int(3), int(-1)],
        0,
        &[2, 9],
        &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 1.0, 2.0, 2.0],
    );
    let volume = range(&[1, 1, 2, 2, 2]);
    let places =
        floats(&[1, 1, 1, 2, 3], &[0.163_306_95, 1.021_431_9, -1.029_513_5, 0.667_576_2, 0.888_029_16, 1.148_684]);
    let args = vec![volume, places, int(0), int(2), flag(true)];
    c.check("GridSampler3D", args, 0, &[1, 1, 1, 1, 2], &[2.619_248_9, 6.424_449_4]);
    let boxes = floats(&[1, 3, 1, 4], &[0.4, 0.1, 0.9, 0.2, 0.4, 0.1, 0.8, 0.25, 0.0, 0.0, 1.0, 1.5]);
    let scores = floats(&[1, 3, 2], &[0.9, 0.3, 0.8, 0.2, 0.1, 0.7]);
    let suppressed = || vec![boxes.clone(), scores.clone(), int(2), int(3), floats(&[], &[0.5]), floats(&[], &[0.25])];
    c.check(
        "CombinedNonMaxSuppression",
        suppressed(),
        0,
        &[1, 3, 4],
        &[0.4, 0.1, 0.9, 0.2, 0.0, 0.0, 1.0, 1.0, 0.4, 0.1, 0.9, 0.2],
    );
    c.check("CombinedNonMaxSuppression", suppressed(), 2, &[1, 3], &[0.0, 1.0, 1.0]);
    let at = || indices(&[2, 2], &[0, 0, 0, 1]);
    let sums = vec![at(), floats(&[2], &[1.0, 2.0]), tuple(&[1, 2]), floats(&[2, 2], &[1.0, 1.0, 2.0, 2.0])];
    let more = [floats(&[1, 2], &[2.0, 2.0]), floats(&[1], &[2.0]), floats(&[1], &[10.0])];
    c.check("SparseAddmm", sums.into_iter().chain(more).collect(), 0, &[1, 2], &[30.0, 30.0]);
    let filled = vec![indices(&[2, 2], &[1, 0, 1, 1]), floats(&[2], &[4.0, 5.0]), column(&[4, 6]), floats(&[], &[5.0])];
    c.check("SparseFillEmptyRows", filled.clone(), 1, &[5], &[5.0, 4.0, 5.0, 5.0, 5.0]);
    c.check("SparseFillEmptyRows", filled, 3, &[2], &[1.0, 2.0]);
    let moved = vec![indices(&[2, 3], &[0, 0, 1, 1, 1, 2]), column(&[2, 3, 6]), column(&[9, -1])];
    c.check("SparseReshape", moved, 0, &[2, 2], &[0.0, 1.0, 6.0, 2.0]);
    c.check(
        "PadAndShift",
        vec![column(&[9, 8, 7, 6, 5, 4]), column(&[0, 1, 3, 6]), int(1)],
        0,
        &[6],
        &[-1.0, 9.0, 8.0, -1.0, -1.0, -1.0],
    );
    c.check("SubAndFilter", vec![column(&[1, 3, 5, 8]), int(5), int(2)], 1, &[2], &[1.0, 2.0]);
    c.check("GLU", vec![floats(&[1, 4], &[1.0, 2.0, 3.0, 4.0])], 0, &[1, 2], &[0.952_574_13, 1.964_027_5]);
    let costs = floats(&[2, 3], &[4.0, 1.0, 3.0, 2.0, 0.0, 5.0]);
    c.check("LinearSumAssignment", vec![costs, int(3), flag(false)], 1, &[2], &[1.0, 0.0]);
    c.finish();
}

#[test]
fn edge_values() {
    const NAN: f64 = f64::NAN;
    const INF: f64 = f64::INFINITY;
    let mut c = Checks::default();
    let ones = || floats(&[3], &[1.0; 3]);
    let x = |last: f64| floats(&[3], &[NAN, 0.5, last]);
    c.check("LogitGrad", vec![ones(), x(0.01), real(0.1)], 0, &[3], &[NAN, 4.0, 0.0]);
    c.check("LogitGrad", vec![ones(), x(2.0), real(-1.0)], 0, &[3], &[NAN, 4.0, NAN]);
    c.check("HSigmoidGrad", vec![ones(), x(7.0)], 0, &[3], &[1.0 / 6.0, 1.0 / 6.0, 0.0]);
    let (a, b) = (floats(&[4], &[INF, NAN, NAN, -INF]), floats(&[4], &[NAN, INF, 1.0, NAN]));
    c.check("Hypot", vec![a, b], 0, &[4], &[INF, INF, NAN, INF]);
    let x = || floats(&[5], &[1.0, NAN, 2.0, NAN, 1.0]);
    c.check("Unique", vec![x()], 0, &[4], &[1.0, NAN, 2.0, NAN]);
    c.check("Unique", vec![x()], 1, &[5], &[0.0, 1.0, 2.0, 3.0, 0.0]);
    let x = floats(&[4], &[1.0, NAN, NAN, 1.0]);
    c.check("UniqueConsecutive", vec![x, flag(false), flag(false), None], 0, &[4], &[1.0, NAN, NAN, 1.0]);
    let image = || floats(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let places = || floats(&[1, 1, 4, 2], &[NAN, 0.0, 0.5, NAN, NAN, NAN, INF, 0.0]);
    for (mode, beyond, want) in [
        ("bilinear", "zeros", [0.0; 4]),
        ("bilinear", "border", [6.0, 8.75, 9.0, 6.0]),
        ("bilinear", "reflection", [6.0, 8.75, 9.0, 6.0]),
        ("nearest", "border", [6.0, 9.0, 9.0, 6.0]),
    ] {
        let args = vec![image(), places(), text(mode), text(beyond), flag(false)];
        c.check("GridSampler2D", args, 0, &[1, 1, 1, 4], &want);
    }
    c.finish();
}

#[test]
fn steps_toward_zero() {
    let mut c = Checks::default();
    let one = |x: f64| floats(&[], &[x]);
    let (w, g) = (|| floats(&[4], &[1.0, -2.0, 0.0, 0.05]), || floats(&[4], &[0.0, 1.0, 0.0, 0.0]));
    for l1 in [-0.5, 0.0] {
        let args = vec![w(), one(0.1), one(l1), one(0.1), g()];
        let want = [0.990_099, -2.079_208, 0.0, 0.049_505];
        c.check("ApplyProximalGradientDescent", args, 0, &[4], &want);
    }
    let (w, sums, g) = (floats(&[3], &[1.0, 2.0, 0.0]), floats(&[3], &[0.0; 3]), floats(&[3], &[0.0, 1.0, 0.0]));
    let args = vec![w, sums, one(0.1), one(0.1), one(0.1), g];
    c.check("ApplyProximalAdagrad", args, 0, &[3], &[0.0, 1.871_287, 0.0]);
    c.finish();
}

#[test]
fn crops_and_transforms() {
    let mut c = Checks::default();
    let images = floats(&[2, 4, 4, 1], &(0..32).map(f64::from).collect::<Vec<_>>());
    let boxes = floats(&[2, 4], &[-0.5, -0.5, 1.5, 1.2, 0.1, 0.2, 0.7, 0.9]);
    let args = vec![images, boxes, indices(&[2], &[0, 1]), tuple(&[3, 2]), text("bilinear_v2"), real(9.0)];
    let want = [0.0, 2.75, 8.0, 10.75, 12.0, 14.75, 16.5, 18.5, 20.5, 22.5, 24.5, 26.5];
    c.check("CropAndResize", args, 0, &[2, 3, 2, 1], &want);
    let line = || floats(&[1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    c.check("FFTShift", vec![line(), tuple(&[1, 1])], 0, &[1, 5], &[2.0, 3.0, 4.0, 5.0, 1.0]);
    c.check("IFFTShift", vec![line(), tuple(&[1, 1])], 0, &[1, 5], &[5.0, 1.0, 2.0, 3.0, 4.0]);
    for op in ["IRFFT", "HFFT"] {
        c.check(op, vec![floats(&[1], &[3.0])], 0, &[0], &[]);
        c.check(op, vec![floats(&[1], &[3.0]), int(1)], 0, &[1], &[3.0]);
    }
    c.finish();
}
