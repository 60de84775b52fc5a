//! The work of planning grows with the nodes of a model: tasks that passes look at, and memory that planning asks for.

use mindir::builder::Builder;
use mindir::graph::{Model, ValueId};
use mindir::{DType, Fact, GraphCell, Options, Spec, Tensor};
use mindir_tests::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rows of the input, of 16 elements.
const ROWS: usize = 2048;

type Grow = fn(&mut Builder, ValueId, usize) -> Vec<ValueId>;

fn op(b: &mut Builder, name: &str, args: impl IntoIterator<Item = mindir::graph::Arg>) -> ValueId {
    b.op(name, args).expect("a known operator")
}

/// `n` operators, each on the result of the one before.
fn chain(
    b: &mut Builder,
    x: ValueId,
    n: usize,
    mut next: impl FnMut(&mut Builder, ValueId, usize) -> ValueId,
) -> Vec<ValueId> {
    vec![(0..n).fold(x, |x, i| next(b, x, i))]
}

fn weights(b: &mut Builder, dims: &[usize]) -> ValueId {
    let n = dims.iter().product();
    b.constant(Tensor::from_vec(dims, vec![0.01f32; n]).expect("as many elements"))
}

fn maps(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    chain(b, x, n, |b, x, i| op(b, ["Sin", "Neg", "Tanh", "Cos"][i % 4], [x.into()]))
}

fn products(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    let w = weights(b, &[16, 16]);
    chain(b, x, n, |b, x, i| match i % 2 {
        0 => op(b, "MatMul", [x.into(), w.into()]),
        _ => op(b, "ReLU", [x.into()]),
    })
}

fn slices(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    chain(b, x, n, |b, x, i| {
        let (from, to, step) = ([1i64, 0], [(ROWS - i) as i64, 16], [1i64, 1]);
        op(b, "StridedSlice", [x.into(), from[..].into(), to[..].into(), step[..].into()])
    })
}

fn residuals(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    chain(b, x, n, |b, x, _| {
        let y = op(b, "Sin", [x.into()]);
        op(b, "Add", [x.into(), y.into()])
    })
}

fn constants(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    let w = weights(b, &[1, 16]);
    let last = chain(b, w, n, |b, c, _| op(b, "Add", [w.into(), c.into()]));
    vec![op(b, "Add", [x.into(), last[0].into()])]
}

fn many_constants(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    chain(b, x, n, |b, x, _| {
        let w = weights(b, &[1, 16]);
        op(b, "Add", [x.into(), w.into()])
    })
}

fn results(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    (0..n).map(|_| op(b, "Softmax", [x.into(), (-1i64).into()])).collect()
}

fn read_at_the_end(b: &mut Builder, x: ValueId, n: usize) -> Vec<ValueId> {
    let all = results(b, x, n);
    let sum = all.iter().skip(1).fold(all[0], |sum, y| op(b, "Add", [sum.into(), (*y).into()]));
    vec![sum]
}

const FAMILIES: [(&str, Grow); 8] = [
    ("maps", maps),
    ("products", products),
    ("slices", slices),
    ("residuals", residuals),
    ("constants", constants),
    ("many constants", many_constants),
    ("results", results),
    ("read at the end", read_at_the_end),
];

fn model(grow: Grow, n: usize) -> Model {
    let mut b = Builder::new("grown");
    let x = b.input("x", Spec::fixed(DType::F32, &[ROWS, 16]));
    let outputs = grow(&mut b, x, n);
    b.finish(&outputs)
}

/// Tasks that passes look at, allocations and bytes allocated while a model of `n` parts is planned.
fn work(grow: Grow, n: usize) -> [usize; 3] {
    let cell = GraphCell::new(model(grow, n), Options { threads: Some(1), ..Options::default() }).expect("supported");
    let before = Counting::totals();
    let session = cell.session(&[Fact::new(DType::F32, &[ROWS, 16])]).expect("it can be planned");
    let after = Counting::totals();
    [session.plan().visits() as usize, after[0] - before[0], after[1] - before[1]]
}

#[test]
fn the_work_of_planning_is_linear() {
    let mut wrong = Vec::new();
    for (name, grow) in FAMILIES {
        let [small, large] = [400, 1600].map(|n| work(grow, n));
        for (what, (small, large)) in ["visits", "allocations", "bytes"].iter().zip(small.into_iter().zip(large)) {
            println!("{name}: {what} {small} {large}");
            // Four times the nodes; a list that doubles its room may have just done so.
            if large > 5 * small {
                wrong.push(format!("{name}: {what} grow from {small} to {large}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
