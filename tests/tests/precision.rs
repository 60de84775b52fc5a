//! What `Options::precision` promises: the error of networks against their own `f64` run, and what plans do for it.
//!
//! On the CPU, and with the features `wgpu` and `cuda` on these devices too, where they are or `MINDIR_REQUIRE` names them.

use std::sync::Arc;

use mindir::builder::Builder;
use mindir::graph::{Model, ValueId};
use mindir::{DType, Fact, GraphCell, Options, Plan, Precision, Spec, Tensor};
use mindir_tests::{compare, golden, precise};

/// Largest errors that networks may make, relative to the largest output: in `f32`, `tf32`, `f16` and `bf16`, about twice what was
/// measured. The CPU computes `tf32` as `f32`; a GPU may round as much as for `f16`.
const NETWORKS: &[(&str, [f64; 4])] = &[
    ("lenet5", [1e-6, 1.4e-3, 1.4e-3, 1.3e-2]),
    ("mlp_small", [1e-6, 1.1e-3, 1.1e-3, 8e-3]),
    ("resnet_basic_small", [1e-6, 1.1e-3, 1.1e-3, 9e-3]),
    ("mobilenet_small", [1e-6, 1.2e-3, 1.2e-3, 7e-3]),
    ("vit_small", [3.5e-6, 5e-3, 5e-3, 6.5e-2]),
    ("bert_small", [1e-6, 9e-4, 9e-4, 1e-2]),
    ("gpt2_kv_small", [1e-6, 1e-3, 1e-3, 9e-3]),
    ("yolo_small", [1e-6, 1.1e-4, 1.1e-4, 1.2e-3]),
];

/// The error of a golden's results against `f64`.
fn error(name: &str, options: Options) -> f64 {
    let golden = golden::read(&golden::folder().join(name));
    let model = mindir::load(&golden.graph).expect("the golden loads");
    let inputs = &golden.runs[0].inputs;
    let exact = precise::run(&model, inputs).expect("an exact result");
    let cell = GraphCell::new(model, options).expect("a cell");
    let got = cell.run(inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
    let floats = got.iter().zip(&exact).filter(|(got, _)| got.dtype() == DType::F32);
    floats.fold(0.0, |worst, (got, exact)| {
        let d = compare::difference(&got.cast(DType::F64).expect("wider"), exact).expect("a like tensor");
        worst.max(d.max_abs / d.scale)
    })
}

/// Compares every network in every precision with the table.
fn networks_on(options: &Options) {
    let mut failures = Vec::new();
    for (name, bounds) in NETWORKS {
        let errors = Precision::ALL.map(|precision| error(name, Options { precision, ..options.clone() }));
        println!("{name:20} {}", errors.map(|e| format!("{e:.1e}")).join("  "));
        let exceeded = errors.iter().zip(bounds).any(|(error, bound)| error > bound);
        // Rounding that is asked for takes place.
        let in_place = errors[2] > 4.0 * errors[0] && errors[3] > 2.0 * errors[2];
        if exceeded || !in_place {
            failures.push(format!("{name}: {errors:?}, at most {bounds:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn networks_keep_to_their_bounds() {
    networks_on(&Options::default());
}

/// Options for a device, or why it is not there.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn unless_skipped(name: &str, options: Result<Options, String>) -> Option<Options> {
    let options = options.map(|options| Options { fallback: mindir::Fallback::Deny, ..options });
    options
        .map_err(|e| {
            let required = std::env::var("MINDIR_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == name), "{e}");
            println!("skipped: {e}");
        })
        .ok()
}

#[cfg(feature = "wgpu")]
#[test]
fn networks_keep_to_their_bounds_on_wgpu() {
    let options = unless_skipped("wgpu", Options::default().on("wgpu").map_err(|e| e.to_string()));
    options.iter().for_each(networks_on);
}

#[cfg(feature = "cuda")]
#[test]
fn networks_keep_to_their_bounds_on_cuda() {
    unless_skipped("cuda", mindir_tests::suite::on_cuda()).iter().for_each(networks_on);
}

/// Numbers with more bits than a half has.
fn numbers(dims: &[usize]) -> Tensor {
    let count: usize = dims.iter().product();
    let data: Vec<f32> = (0..count).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / 300.0).collect();
    Tensor::from_slice(dims, &data).expect("a tensor")
}

struct Net {
    b: Builder,
    x: ValueId,
}

impl Net {
    fn new(dims: &[usize]) -> Net {
        let mut b = Builder::new("net");
        let x = b.input("x", Spec::fixed(DType::F32, dims));
        Net { b, x }
    }

    fn op<const N: usize>(&mut self, name: &str, args: [mindir::graph::Arg; N]) -> ValueId {
        self.b.op(name, args).expect("an operator")
    }

    /// A layer of `n` outputs with a bias and ReLU.
    fn dense(&mut self, x: ValueId, k: usize, n: usize) -> ValueId {
        let (w, bias) = (self.b.constant(numbers(&[k, n])), self.b.constant(numbers(&[n])));
        let y = self.op("MatMul", [x.into(), w.into()]);
        let y = self.op("BiasAdd", [y.into(), bias.into()]);
        self.op("ReLU", [y.into()])
    }
}

fn plan(model: &Arc<Model>, precision: Precision, dims: &[usize]) -> Plan {
    let cell = GraphCell::new(model.clone(), Options { precision, ..Options::default() }).expect("a cell");
    cell.plan(&[Fact::new(DType::F32, dims)]).expect("a plan")
}

/// The operators of every step, and its result's type.
fn steps(plan: &Plan) -> Vec<(String, DType)> {
    let steps = plan.stages().iter().flat_map(|stage| &stage.steps);
    steps.map(|step| (step.ops.to_string(), step.outs[0].dtype)).collect()
}

#[test]
fn activations_are_rounded_by_who_makes_them_and_weights_when_planning() {
    let mut net = Net::new(&[3, 40]);
    let hidden = net.dense(net.x, 40, 24);
    let y = net.dense(hidden, 24, 8);
    let model = Arc::new(net.b.finish(&[y]));
    let f32 = steps(&plan(&model, Precision::F32, &[3, 40]));
    let layer = || "MatMul+BiasAdd+ReLU".to_string();
    assert_eq!(f32, [(layer(), DType::F32), (layer(), DType::F32)]);
    assert_eq!(steps(&plan(&model, Precision::Tf32, &[3, 40])), f32);
    let f16 = plan(&model, Precision::F16, &[3, 40]);
    let rounded = layer() + "+Cast";
    assert_eq!(steps(&f16), [("Cast".into(), DType::F16), (rounded, DType::F16), (layer(), DType::F32)]);
    let notes = f16.notes().iter().filter(|note| note.pass == "precision" && note.applied);
    assert_eq!(notes.filter(|note| note.why.contains("rounded to f16")).count(), 2);
}

/// An operand that several products read is rounded once, and stays as it is for others.
#[test]
fn an_operand_is_rounded_once() {
    let mut net = Net::new(&[4, 16]);
    let x = net.op("Tanh", [net.x.into()]);
    let (a, b) = (net.dense(x, 16, 16), net.dense(x, 16, 16));
    let sum = net.op("Add", [a.into(), b.into()]);
    let y = net.op("Mul", [sum.into(), x.into()]);
    let plan = plan(&Arc::new(net.b.finish(&[y])), Precision::Bf16, &[4, 16]);
    let casts = steps(&plan).into_iter().filter(|(ops, _)| ops.ends_with("Cast")).collect::<Vec<_>>();
    assert_eq!(casts, [("Cast".to_string(), DType::BF16)]);
}

/// The product of rounded operands with sums in `f32`, on the device of `options`.
fn one_product(options: &Options) {
    let (m, k, n) = (40, 70, 33);
    let mut b = Builder::new("product");
    let x = b.input("x", Spec::fixed(DType::F32, &[m, k]));
    let w = b.input("w", Spec::fixed(DType::F32, &[k, n]));
    let y = b.op("MatMul", [x.into(), w.into()]).expect("a product");
    let model = Arc::new(b.finish(&[y]));
    let operands = [numbers(&[m, k]), numbers(&[k, n])];
    for (precision, dtype) in
        [(Precision::F32, DType::F32), (Precision::F16, DType::F16), (Precision::Bf16, DType::BF16)]
    {
        let cell = GraphCell::new(model.clone(), Options { precision, ..options.clone() }).expect("a cell");
        let got = cell.run(&operands).expect("a result").remove(0).to_f64s().expect("numbers");
        let [x, w] = operands.clone().map(|t| t.cast(dtype).and_then(|t| t.to_f64s()).expect("numbers"));
        for (at, got) in got.iter().enumerate() {
            let terms = (0..k).map(|l| x[at / n * k + l] * w[l * n + at % n]);
            let (want, size) = terms.fold((0.0, 0.0), |(sum, size): (f64, f64), term| (sum + term, size + term.abs()));
            assert!((got - want).abs() <= 2e-6 * size, "{}: element {at} is {got}, expected {want}", precision.name());
        }
    }
}

#[test]
fn a_product_rounds_its_operands_and_nothing_else() {
    one_product(&Options::default());
}

#[cfg(feature = "wgpu")]
#[test]
fn a_product_rounds_its_operands_and_nothing_else_on_wgpu() {
    let options = unless_skipped("wgpu", Options::default().on("wgpu").map_err(|e| e.to_string()));
    options.iter().for_each(one_product);
}

#[cfg(feature = "cuda")]
#[test]
fn a_product_rounds_its_operands_and_nothing_else_on_cuda() {
    unless_skipped("cuda", mindir_tests::suite::on_cuda()).iter().for_each(one_product);
}

/// What a half cannot hold is infinite, also if the result could be held; `bf16` has the range of `f32`.
#[test]
fn large_operands_of_f16_are_infinite() {
    let mut net = Net::new(&[1, 2]);
    let w = net.b.constant(Tensor::from_slice(&[2, 1], &[1e-3f32, 1.0]).expect("a tensor"));
    let y = net.op("MatMul", [net.x.into(), w.into()]);
    let model = Arc::new(net.b.finish(&[y]));
    let x = Tensor::from_slice(&[1, 2], &[65536.0f32, 0.0]).expect("a tensor");
    let y = [Precision::F16, Precision::Bf16].map(|precision| {
        let cell = GraphCell::new(model.clone(), Options { precision, ..Options::default() }).expect("a cell");
        cell.run(std::slice::from_ref(&x)).expect("a result").remove(0).to_f64s().expect("numbers")[0]
    });
    assert!(y[0] == f64::INFINITY && (y[1] - 65.536).abs() < 0.3, "{y:?}");
}
