//! Small models in which a pass must see what it rewrites for what it is.

use mindir_graph::builder::Builder;
use mindir_graph::graph::{Arg, Model, ValueId};
use mindir_graph::passes::validate::{Contents, plain_tolerance, validate};
use mindir_graph::passes::{Aims, Note, optimize};
use mindir_graph::task::TaskGraph;
use mindir_graph::{DType, Spec, Tensor};
use mindir_kernels::cpu::{CpuDevice, Isa, Threads};
use mindir_kernels::plain;
use mindir_tests::tasks::{contents, lowered, on, run};

/// A model under construction.
struct Net {
    b: Builder,
    inputs: Vec<Tensor>,
    dtype: DType,
}

impl Net {
    fn new(dtype: DType) -> Net {
        Net { b: Builder::new("net"), inputs: Vec::new(), dtype }
    }

    fn input(&mut self, dims: &[usize]) -> ValueId {
        let name = format!("x{}", self.inputs.len());
        self.inputs.push(Tensor::zeros(self.dtype, dims).unwrap());
        self.b.input(&name, Spec::fixed(self.dtype, dims))
    }

    fn constant(&mut self, dims: &[usize]) -> ValueId {
        let data: Vec<f64> = (0..dims.iter().product::<usize>()).map(|i| (i * 5 % 7) as f64 - 3.0).collect();
        self.b.constant(Tensor::from_f64s(self.dtype, dims, &data).unwrap())
    }

    fn op<const N: usize>(&mut self, name: &str, args: [Arg; N]) -> ValueId {
        self.b.op(name, args).unwrap()
    }

    fn reshape(&mut self, x: ValueId, dims: &[i64]) -> ValueId {
        self.op("Reshape", [x.into(), Arg::from(dims)])
    }

    fn transpose(&mut self, x: ValueId, perm: &[i64]) -> ValueId {
        self.op("Transpose", [x.into(), Arg::from(perm)])
    }

    fn conv(&mut self, x: ValueId, w: ValueId) -> ValueId {
        self.op("Conv2DExt", [x.into(), w.into()])
    }

    fn slice(&mut self, x: ValueId, begin: &[i64], end: &[i64], step: &[i64]) -> ValueId {
        self.op("StridedSlice", [x.into(), Arg::from(begin), Arg::from(end), Arg::from(step)])
    }

    fn finish(self, outputs: &[ValueId]) -> (Model, Vec<Tensor>) {
        (self.b.finish(outputs), self.inputs)
    }
}

/// Checks every pass on several contents, plainly and on the CPU, and returns what all of them noted.
#[track_caller]
fn holds(net: Net, outputs: &[ValueId]) -> Vec<Note> {
    let (model, inputs) = net.finish(outputs);
    let graph: TaskGraph = lowered(&model, &inputs).unwrap();
    let device = CpuDevice::new(Isa::detect().unwrap(), Threads::new(1));
    for seed in 0..8 {
        let contents = Contents::random(&graph, seed);
        if let Err(e) = validate(&graph, &contents, &plain::run, plain_tolerance) {
            panic!("{e}");
        }
        let contents = Contents::whole(&graph, seed);
        let cpu = |task: &_, ins: &[_], outs: &[_]| on(&device, task, ins, outs);
        if let Err(e) = validate(&graph, &contents, &cpu, |p| if p.exact { 0.0 } else { 1e-6 }) {
            panic!("cpu: {e}");
        }
    }
    let mut graph = graph;
    optimize(&mut graph, &Aims::default(), |_| true).list
}

#[track_caller]
fn applied(notes: &[Note], pass: &str, times: usize) {
    let found: Vec<&Note> = notes.iter().filter(|n| n.pass == pass).collect();
    assert_eq!(found.iter().filter(|n| n.applied).count(), times, "{found:#?}");
}

#[test]
fn weights_that_a_convolution_computes_keep_their_order() {
    for read_again in [false, true] {
        let mut n = Net::new(DType::F32);
        let (x, z) = (n.input(&[1, 4, 5, 4]), n.input(&[3, 2, 3, 2]));
        let first = n.constant(&[4, 2, 1, 1]);
        let weights = n.conv(z, first);
        let y = n.conv(x, weights);
        let outputs = [y, weights];
        let notes = holds(n, &outputs[..1 + usize::from(read_again)]);
        applied(&notes, "layout", 2);
    }
}

#[test]
fn a_convolution_of_few_channels_stays_as_it_is_if_no_other_follows() {
    for follows in [false, true] {
        let mut n = Net::new(DType::F32);
        let x = n.input(&[1, 3, 40, 36]);
        let (w, bias) = (n.constant(&[8, 3, 3, 3]), n.constant(&[8, 1, 1]));
        let y = n.conv(x, w);
        let y = n.op("Add", [y.into(), bias.into()]);
        let gate = n.op("Sigmoid", [y.into()]);
        let mut y = n.op("Mul", [y.into(), gate.into()]);
        if follows {
            let w = n.constant(&[2, 8, 1, 1]);
            y = n.conv(y, w);
        }
        applied(&holds(n, &[y]), "layout", if follows { 2 } else { 0 });
    }
}

#[test]
fn a_gate_on_the_channels_of_a_convolution() {
    let mut n = Net::new(DType::F32);
    let x = n.input(&[2, 3, 4, 4]);
    let (w, g) = (n.constant(&[4, 3, 1, 1]), n.constant(&[4, 3, 1, 1]));
    let y = n.conv(x, w);
    let mean = n.op("ReduceMean", [x.into(), Arg::from(&[2i64, 3][..]), true.into()]);
    let gate = n.conv(mean, g);
    let gate = n.op("Sigmoid", [gate.into()]);
    let y = n.op("Mul", [y.into(), gate.into()]);
    holds(n, &[y]);
    // One image: the gate is one number for each channel.
    let mut n = Net::new(DType::F32);
    let x = n.input(&[1, 3, 4, 4]);
    let (w, g) = (n.constant(&[4, 3, 1, 1]), n.constant(&[4, 3, 1, 1]));
    let y = n.conv(x, w);
    let mean = n.op("ReduceMean", [x.into(), Arg::from(&[2i64, 3][..]), true.into()]);
    let gate = n.conv(mean, g);
    let gate = n.op("Sigmoid", [gate.into()]);
    let y = n.op("Mul", [y.into(), gate.into()]);
    applied(&holds(n, &[y]), "epilogues", 2);
}

#[test]
fn channels_are_those_of_the_convolution() {
    // After the reshape, the second dimension is as long as there are channels, and something else.
    let mut n = Net::new(DType::F32);
    let x = n.input(&[2, 3, 4, 2]);
    let w = n.constant(&[4, 3, 1, 1]);
    let y = n.conv(x, w);
    let y = n.reshape(y, &[4, 4, 2, 2]);
    let b = n.constant(&[1, 4, 1, 1]);
    let y = n.op("Add", [y.into(), b.into()]);
    applied(&holds(n, &[y]), "epilogues", 0);
    // Channels that are a part of a dimension, and all of one.
    let mut n = Net::new(DType::F32);
    let x = n.input(&[2, 3, 4, 2]);
    let w = n.constant(&[4, 3, 1, 1]);
    let y = n.conv(x, w);
    let y = n.reshape(y, &[2, 4, 8]);
    let b = n.constant(&[4, 1]);
    let y = n.op("Add", [y.into(), b.into()]);
    applied(&holds(n, &[y]), "epilogues", 1);
}

#[test]
fn results_behind_a_reshape() {
    let mut n = Net::new(DType::F32);
    let x = n.input(&[2, 3, 4, 2]);
    let (w, v) = (n.constant(&[4, 3, 1, 1]), n.constant(&[3, 4, 1, 1]));
    let y = n.conv(x, w);
    let z = n.conv(y, v);
    let flat = n.reshape(y, &[2, 32]);
    let turned = n.reshape(y, &[2, 2, 4, 4]);
    let sum = n.op("Add", [turned.into(), turned.into()]);
    let pooled = n.op("ReduceMean", [turned.into(), Arg::from(&[2i64, 3][..]), false.into()]);
    holds(n, &[flat, z, sum, pooled]);
}

#[test]
fn an_idle_transpose_of_an_image() {
    let mut n = Net::new(DType::F32);
    let x = n.input(&[1, 3, 4, 1]);
    let w = n.constant(&[3, 3, 1, 1]);
    let y = n.conv(x, w);
    let scale = n.constant(&[1, 3, 1, 1]);
    let y = n.op("Mul", [y.into(), scale.into()]);
    let t = n.transpose(y, &[1, 0, 3, 2]);
    let sum = n.op("Add", [t.into(), t.into()]);
    holds(n, &[sum, y]);
}

#[test]
fn one_dimensional_convolutions() {
    let mut n = Net::new(DType::F32);
    let x = n.input(&[2, 3, 7]);
    let w = n.constant(&[4, 3, 1]);
    let y = n.op("Conv1DExt", [x.into(), w.into()]);
    let (a, b) = (n.constant(&[1, 4, 1]), n.constant(&[4, 1]));
    let y = n.op("Mul", [y.into(), a.into()]);
    let p = n.op("Add", [y.into(), b.into()]);
    let q = n.op("ReLU", [y.into()]);
    let r = n.reshape(y, &[2, 4, 7, 1]);
    let v = n.constant(&[2, 4, 3, 1]);
    let r = n.conv(r, v);
    holds(n, &[p, q, r]);
}

#[test]
fn a_scale_that_is_added_too() {
    let mut n = Net::new(DType::F32);
    let x = n.input(&[1, 2, 3, 3]);
    let (w, s) = (n.constant(&[3, 2, 2, 2]), n.constant(&[1, 3, 1, 1]));
    let y = n.conv(x, w);
    let y = n.op("Mul", [y.into(), s.into()]);
    let y = n.op("Add", [y.into(), s.into()]);
    applied(&holds(n, &[y]), "fold-scale", 0);
    // Multiplied only.
    let mut n = Net::new(DType::F32);
    let x = n.input(&[1, 2, 3, 3]);
    let (w, s) = (n.constant(&[3, 2, 2, 2]), n.constant(&[1, 3, 1, 1]));
    let y = n.conv(x, w);
    let y = n.op("Mul", [y.into(), s.into()]);
    applied(&holds(n, &[y]), "fold-scale", 1);
}

#[test]
fn backwards_over_a_transpose() {
    let mut n = Net::new(DType::F32);
    let x = n.input(&[2, 3]);
    let y = n.transpose(x, &[1, 0]);
    let y = n.reshape(y, &[6]);
    let z = n.slice(y, &[4], &[0], &[-1]);
    applied(&holds(n, &[z]), "merge-copies", 0);
    let mut n = Net::new(DType::F32);
    let x = n.input(&[2, 3]);
    let y = n.transpose(x, &[1, 0]);
    let z = n.slice(y, &[2, 0], &[-4, 2], &[-1, 1]);
    applied(&holds(n, &[z]), "merge-copies", 1);
}

#[test]
fn products_read_columns_rows_and_repeated_elements() {
    // A single column and a single row, with either transposition.
    for (dims, begin, end) in [([4, 3], [0, 1], [4, 2]), ([3, 4], [1, 0], [2, 4])] {
        for (transposed, swapped) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut n = Net::new(DType::F32);
            let x = n.input(&dims);
            let x = n.slice(x, &begin, &end, &[1, 1]);
            let [rows, cols] = [end[0] - begin[0], end[1] - begin[1]].map(|n| n as usize);
            let k = if transposed { rows } else { cols };
            let y = n.input(&if swapped { [5, k] } else { [k, 5] });
            let z = n.op("MatMul", [x.into(), y.into(), transposed.into(), swapped.into()]);
            holds(n, &[z]);
        }
    }
    // Without first column.
    let mut n = Net::new(DType::F32);
    let (x, y) = (n.input(&[3, 3]), n.input(&[4, 4]));
    let y = n.slice(y, &[0, 1], &[4, 4], &[1, 1]);
    let z = n.op("MatMul", [x.into(), y.into(), false.into(), true.into()]);
    applied(&holds(n, &[z]), "strided-products", 1);
    // Heads of one element.
    for (trans_a, trans_b) in [(false, true), (true, false)] {
        let mut n = Net::new(DType::F32);
        let (q, k) = (n.input(&[2, 3, 2, 1]), n.input(&[2, 2, 3, 1]));
        let q = n.transpose(q, &[0, 2, 1, 3]);
        let z = n.op("BatchMatMul", [q.into(), k.into(), trans_a.into(), trans_b.into()]);
        holds(n, &[z]);
    }
    // One row for all.
    for swapped in [false, true] {
        let mut n = Net::new(DType::F32);
        let (x, y) = (n.input(&[4, 4]), n.input(&[1, 4]));
        let y = n.op("BroadcastTo", [y.into(), Arg::from(&[4i64, 4][..])]);
        let z = n.op("MatMul", [x.into(), y.into(), false.into(), swapped.into()]);
        let t = n.transpose(y, &[1, 0]);
        let u = n.op("MatMul", [y.into(), t.into()]);
        holds(n, &[z, u]);
    }
}

#[test]
fn steps_of_16_bit_floats_are_rounded() {
    for dtype in [DType::F16, DType::BF16] {
        // (x · 300) · 300 overflows, and x + 2048 − 2048 loses its last bits.
        let mut n = Net::new(dtype);
        let x = n.input(&[3, 5]);
        let number = |n: &mut Net, x: f64| n.b.constant(Tensor::from_f64s(dtype, &[], &[x]).unwrap());
        let (big, wide) = (number(&mut n, 300.0), number(&mut n, 2049.0));
        let y = n.op("Mul", [x.into(), big.into()]);
        let y = n.op("Mul", [y.into(), big.into()]);
        let z = n.op("Add", [x.into(), wide.into()]);
        let z = n.op("Sub", [z.into(), wide.into()]);
        let truth = n.op("Greater", [z.into(), x.into()]);
        // The same behind a product and a convolution.
        let w = n.constant(&[5, 4]);
        let p = n.op("MatMul", [x.into(), w.into()]);
        let p = n.op("Add", [p.into(), wide.into()]);
        let p = n.op("Sub", [p.into(), wide.into()]);
        let image = n.reshape(x, &[1, 3, 5, 1]);
        let filter = n.constant(&[2, 3, 2, 1]);
        let c = n.conv(image, filter);
        let c = n.op("Mul", [c.into(), big.into()]);
        let c = n.op("Mul", [c.into(), big.into()]);
        let c = n.op("ReLU", [c.into()]);
        applied(&holds(n, &[y, truth, p, c]), "epilogues", 2);
    }
}

/// A map that reads through a reshape is joined with its producer, whose dimensions it takes over; its result keeps its own.
#[test]
fn maps_are_joined_across_a_reshape() {
    let mut b = Builder::new("scaled");
    let x = b.input("x", Spec::fixed(DType::F16, &[2, 1, 1, 8]));
    let scale = b.input("scale", Spec::fixed(DType::F16, &[2, 1, 1, 1]));
    let y = b.op("Mul", [x.into(), scale.into()]).unwrap();
    let y = b.op("Reshape", [y.into(), Arg::from(&[2i64, 8][..])]).unwrap();
    let y = b.op("Neg", [y.into()]).unwrap();
    let model = b.finish(&[y]);
    let data: Vec<f64> = (0..16).map(f64::from).collect();
    let x = Tensor::from_f64s(DType::F16, &[2, 1, 1, 8], &data).unwrap();
    let scale = Tensor::from_f64s(DType::F16, &[2, 1, 1, 1], &[2.0, -1.0]).unwrap();
    let inputs = [x, scale];
    let mut tasks = lowered(&model, &inputs).unwrap();
    optimize(&mut tasks, &Aims::default(), |_| true);
    assert_eq!(tasks.nodes.len(), 1);
    let (got, _) = run(&tasks, &contents(&model, &tasks, &inputs), &plain::run).unwrap();
    let want: Vec<f64> = (0..16).map(|i| f64::from(i) * if i < 8 { -2.0 } else { 1.0 }).collect();
    assert_eq!((got[0].shape(), got[0].to_f64s().unwrap()), (&[2, 8][..], want));
}

/// Products of `x` with constants, seen as heads of two elements, whose scores weigh the last of them.
fn heads(n: &mut Net, parts: [ValueId; 3]) -> ValueId {
    let [q, k, v] = parts.map(|part| {
        let part = n.reshape(part, &[5, 3, 2]);
        n.transpose(part, &[1, 0, 2])
    });
    let k = n.transpose(k, &[0, 2, 1]);
    let scores = n.op("BatchMatMul", [q.into(), k.into()]);
    let y = n.op("BatchMatMul", [scores.into(), v.into()]);
    n.transpose(y, &[1, 0, 2])
}

fn projected(n: &mut Net, x: ValueId, biased: bool) -> ValueId {
    let w = n.constant(&[4, 6]);
    let y = n.op("MatMul", [x.into(), w.into()]);
    if !biased {
        return y;
    }
    let bias = n.constant(&[6]);
    n.op("Add", [y.into(), bias.into()])
}

#[test]
fn products_of_one_operand_are_one() {
    for biased in [false, true] {
        let mut n = Net::new(DType::F32);
        let x = n.input(&[5, 4]);
        let parts = [0, 1, 2].map(|_| projected(&mut n, x, biased));
        let y = heads(&mut n, parts);
        applied(&holds(n, &[y]), "join-products", 1);
    }
}

#[test]
fn products_that_are_read_as_a_whole_stay() {
    let refused = |notes: &[Note], why: &str| {
        let found: Vec<&Note> = notes.iter().filter(|n| n.pass == "join-products").collect();
        assert!(found.iter().any(|n| !n.applied && n.why.contains(why)), "{why}: {found:#?}");
    };
    // One is a result: the other two are joined.
    let mut n = Net::new(DType::F32);
    let x = n.input(&[5, 4]);
    let parts = [0, 1, 2].map(|_| projected(&mut n, x, true));
    let y = heads(&mut n, parts);
    let notes = holds(n, &[y, parts[1]]);
    refused(&notes, "its result is returned");
    applied(&notes, "join-products", 1);
    // A map reads one, another lacks the bias.
    let mut n = Net::new(DType::F32);
    let x = n.input(&[5, 4]);
    let parts = [true, true, false].map(|biased| projected(&mut n, x, biased));
    let y = heads(&mut n, parts);
    let sine = n.op("Sin", [parts[0].into()]);
    let notes = holds(n, &[y, sine]);
    refused(&notes, "Sin");
    applied(&notes, "join-products", 0);
    // Weights that something else reads too would be there twice.
    let mut n = Net::new(DType::F32);
    let x = n.input(&[5, 4]);
    let (w, other) = (n.constant(&[4, 6]), n.input(&[2, 4]));
    let q = n.op("MatMul", [x.into(), w.into()]);
    let again = n.op("MatMul", [other.into(), w.into()]);
    let parts = [q, projected(&mut n, x, false), projected(&mut n, x, false)];
    let y = heads(&mut n, parts);
    let notes = holds(n, &[y, again]);
    refused(&notes, "its weights are read elsewhere too");
    applied(&notes, "join-products", 1);
}

/// `x` and what each pair of an operator and a number makes of it, one after the other.
fn steps(n: &mut Net, x: ValueId, steps: &[(&str, f32)]) -> ValueId {
    steps.iter().fold(x, |x, (op, number)| {
        let number = n.b.constant(Tensor::scalar(*number));
        n.op(op, [x.into(), number.into()])
    })
}

fn function(n: &mut Net, name: &str, x: ValueId) -> ValueId {
    n.op(name, [x.into()])
}

#[test]
fn activations_that_are_written_out() {
    let product = |n: &mut Net, a: ValueId, b: ValueId| n.op("Mul", [a.into(), b.into()]);
    type Write<'a> = &'a dyn Fn(&mut Net, ValueId) -> ValueId;
    let gelu = |n: &mut Net, x: ValueId, root: (&str, f32), half: f32| {
        let y = steps(n, x, &[root]);
        let y = function(n, "Erf", y);
        let y = steps(n, y, &[("Add", 1.0)]);
        let y = product(n, x, y);
        steps(n, y, &[("Mul", half)])
    };
    let tanh = |n: &mut Net, x: ValueId, cube: ValueId, cubic: f32| {
        let y = steps(n, cube, &[("Mul", cubic)]);
        let y = n.op("Add", [x.into(), y.into()]);
        let y = steps(n, y, &[("Mul", 0.797_884_6)]);
        let y = function(n, "Tanh", y);
        let y = steps(n, y, &[("Add", 1.0)]);
        let half = steps(n, x, &[("Mul", 0.5)]);
        product(n, half, y)
    };
    let cube = |n: &mut Net, x: ValueId| {
        let y = product(n, x, x);
        product(n, y, x)
    };
    let cases: [(&str, usize, Write<'_>); 10] = [
        ("gelu", 1, &|n, x| gelu(n, x, ("Div", std::f32::consts::SQRT_2), 0.5)),
        ("gelu by a factor", 1, &|n, x| gelu(n, x, ("Mul", std::f32::consts::FRAC_1_SQRT_2), 0.5)),
        ("gelu of another argument", 0, &|n, x| gelu(n, x, ("Div", 1.414), 0.5)),
        ("gelu of another size", 0, &|n, x| gelu(n, x, ("Div", std::f32::consts::SQRT_2), 1.0)),
        ("gelu by the hyperbolic tangent", 1, &|n, x| {
            let cube = cube(n, x);
            tanh(n, x, cube, 0.044_715)
        }),
        ("by a power", 1, &|n, x| {
            let cube = steps(n, x, &[("Pow", 3.0)]);
            tanh(n, x, cube, 0.044_715)
        }),
        ("by another cubic", 0, &|n, x| {
            let cube = cube(n, x);
            tanh(n, x, cube, 0.0447)
        }),
        ("silu", 1, &|n, x| {
            let y = function(n, "Sigmoid", x);
            product(n, x, y)
        }),
        ("a gate of another argument", 0, &|n, x| {
            let y = steps(n, x, &[("Mul", 1.702)]);
            let y = function(n, "Sigmoid", y);
            product(n, x, y)
        }),
        ("h-swish", 1, &|n, x| {
            let y = steps(n, x, &[("Add", 3.0)]);
            let y = function(n, "ReLU6", y);
            let y = product(n, x, y);
            steps(n, y, &[("Div", 6.0)])
        }),
    ];
    for (name, count, write) in cases {
        let mut n = Net::new(DType::F32);
        let x = n.input(&[3, 5]);
        let x = steps(&mut n, x, &[("Add", 0.25)]);
        let y = write(&mut n, x);
        println!("{name}");
        applied(&holds(n, &[y]), "activations", count);
    }
    // Steps of 16-bit floats are rounded as the file says.
    let mut n = Net::new(DType::F16);
    let x = n.input(&[3, 5]);
    let y = function(&mut n, "Sigmoid", x);
    let y = product(&mut n, x, y);
    applied(&holds(n, &[y]), "activations", 0);
}
