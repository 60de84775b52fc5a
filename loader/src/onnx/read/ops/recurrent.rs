//! Recurrent layers: MindSpore's `LSTM` where it says the same, else a loop over the steps.

use mindir_graph::Tensor;
use mindir_graph::graph::Layer;
use mindir_graph::task::{self, Squash};

use super::Row;
use super::activation::{Activation, activations};
use super::layer::flat_product;
use super::lstm::{lstm, own_lstm};
use super::shape::{join, length, part};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};
use crate::onnx::read::turn::{Turn, place, zeros};
use crate::onnx::read::types::Type;

pub(super) static OPS: &[Row] = &[
    ("GRU", |m, c| layer(m, c, Cell::Gru)),
    ("LSTM", |m, c| layer(m, c, Cell::Lstm)),
    ("RNN", |m, c| layer(m, c, Cell::Rnn)),
];

#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Rnn,
    Gru,
    Lstm,
}

impl Cell {
    /// Rows of the weights for each hidden element.
    fn gates(self) -> i64 {
        match self {
            Cell::Rnn => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// The functions of one direction, in the order of the attribute.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Cell::Rnn => &["Tanh"],
            Cell::Gru => &["Sigmoid", "Tanh"],
            Cell::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// What all directions of a layer have in common.
struct Form {
    cell: Cell,
    hidden: i64,
    /// Operands of functions are at most this far from 0.
    clip: Option<f64>,
    /// Whether the forget gate is 1 less the input gate.
    coupled: bool,
    /// Whether the reset of a GRU comes behind the product.
    inner_reset: bool,
    /// The length of each sequence, unless all are as long as the tensor.
    lengths: Option<Val>,
}

impl Form {
    /// Whether devices may know the layer, as far as they need not know its functions.
    fn is_plain(&self) -> bool {
        self.clip.is_none() && !self.coupled && self.lengths.is_none()
    }

    fn states(&self) -> usize {
        if self.cell == Cell::Lstm { 2 } else { 1 }
    }
}

/// One direction of a layer: weights `[gates · hidden, …]`, and the state before its first step.
struct Direction {
    w: Val,
    r: Val,
    /// The biases of inputs and of states.
    b: Option<[Val; 2]>,
    peephole: Option<Val>,
    state: Vec<Val>,
    functions: Vec<Activation>,
    backward: bool,
}

fn layer(m: &mut Import, c: &Call, cell: Cell) -> Steps {
    let batch_first = c.int("layout", 0) == 1;
    let mut x = m.of_rank(c.input(0)?, 3);
    if x.rank()? != 3 {
        return Err(format!("expected rank 3, found {}", x.rank()?));
    }
    if batch_first {
        x = swapped(m, x)?;
    }
    let backward: &[bool] = match c.text("direction", "forward").as_str() {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(format!("direction {other} is not supported")),
    };
    let functions = activations(c, cell.usual(), backward.len())?;
    let form = Form {
        cell,
        hidden: hidden(c)?,
        clip: c.has("clip").then(|| c.float("clip", 0.0)),
        coupled: c.int("input_forget", 0) != 0,
        inner_reset: cell == Cell::Gru && c.int("linear_before_reset", 0) != 0,
        lengths: shorter(c, &x),
    };
    let mut start = Vec::new();
    for i in 0..form.states() {
        start.push(match c.option(5 + i).map(|state| m.of_rank(state, 3)) {
            Some(state) if batch_first => swapped(m, state)?,
            Some(state) => state,
            None => no_state(m, &x, backward.len() as i64, form.hidden)?,
        });
    }
    let usual = functions.iter().all(|f| f.iter().map(|f| f.name).eq(cell.usual().iter().copied()));
    let own = cell == Cell::Lstm && backward != [true] && usual && form.is_plain() && own_lstm(c, &x);
    let mut results = if own {
        lstm(m, c, &x, &start, backward.len() as i64, form.hidden)?
    } else {
        let mut done = Vec::new();
        for (d, (&backward, functions)) in backward.iter().zip(functions).enumerate() {
            let direction = direction(m, c, cell, d, &start, functions, backward)?;
            done.push(steps(m, &form, &x, direction)?);
        }
        stacked(m, done)?
    };
    if batch_first {
        for (i, y) in results.iter_mut().enumerate() {
            *y = match i {
                0 => m.op("Transpose", vec![(&*y).into(), vec![2, 0, 1, 3].into()])?,
                _ => swapped(m, y.clone())?,
            };
        }
    }
    Ok(results)
}

/// The first two dimensions in the other order.
fn swapped(m: &mut Import, x: Val) -> Step {
    m.op("Transpose", vec![x.into(), vec![1, 0, 2].into()])
}

/// Elements of the state.
fn hidden(c: &Call) -> Result<i64, String> {
    let r = c.input(2)?;
    let n =
        r.length(2).or_else(|| c.has("hidden_size").then(|| c.int("hidden_size", 0))).map_or_else(|| r.dim(2), Ok)?;
    // Weights have several times as many rows.
    i32::try_from(n).map(i64::from).map_err(|_| format!("expected a hidden size of at most {}, found {n}", i32::MAX))
}

/// The length of each sequence, unless all are known to be as long as the tensor.
fn shorter(c: &Call, x: &Val) -> Option<Val> {
    let full = x.length(0);
    let all = |lengths: &Val| lengths.ints().is_ok_and(|all| all.into_iter().all(|n| Some(n) == full));
    c.option(4).filter(|lengths| !all(lengths))
}

/// Zeros `[directions, batch, hidden]`.
fn no_state(m: &mut Import, x: &Val, directions: i64, hidden: i64) -> Step {
    let (directions, hidden) = (m.vector(&[directions]), m.vector(&[hidden]));
    let batch = length(m, x, 1)?;
    let shape = join(m, vec![directions, batch, hidden], 0)?;
    zeros(m, shape, x.dtype())
}

fn direction(
    m: &mut Import,
    c: &Call,
    cell: Cell,
    d: usize,
    start: &[Val],
    functions: Vec<Activation>,
    backward: bool,
) -> Result<Direction, String> {
    let (w, r) = (c.input(1)?, c.input(2)?);
    let (w, r) = (row(m, &w, d)?, row(m, &r, d)?);
    let n = cell.gates() * hidden(c)?;
    let b = match c.option(3) {
        Some(b) => {
            let b = row(m, &b, d)?;
            Some([part(m, &b, 0, n)?, part(m, &b, n, 2 * n)?])
        }
        None => None,
    };
    let peephole = match c.option(7) {
        Some(p) if cell == Cell::Lstm => Some(row(m, &p, d)?),
        _ => None,
    };
    let state = start.iter().map(|s| row(m, s, d)).collect::<Result<_, _>>()?;
    Ok(Direction { w, r, b, peephole, state, functions, backward })
}

/// Place `d` of the first dimension.
fn row(m: &mut Import, x: &Val, d: usize) -> Step {
    if let Some(t) = x.constant() {
        let dims: Vec<usize> = t.shape().iter().skip(1).copied().collect();
        let len = t.bytes().len() / t.shape().first().copied().unwrap_or(1).max(1);
        if let Some(end) = len.checked_mul(d + 1).filter(|end| *end <= t.bytes().len()) {
            let row =
                Tensor::from_bytes(t.dtype(), &dims, t.bytes().slice(end - len..end)).map_err(|e| e.to_string())?;
            return Ok(m.constant(row));
        }
    }
    if d == 0 && x.length(0) == Some(1) {
        return m.op("Squeeze", vec![x.into(), vec![0].into()]);
    }
    let index = m.constant(Tensor::scalar(d as i64));
    m.op("Gather", vec![x.into(), index.into(), 0i64.into(), 0i64.into()])
}

/// All steps of one direction: the hidden state after each, and the last state.
fn steps(m: &mut Import, form: &Form, x: &Val, d: Direction) -> Steps {
    let hidden = form.hidden;
    // What does not depend on the state is computed for all steps at once.
    let mut from_x = flat_product(m, x.clone(), d.w, true)?;
    let width = m.vector(&[hidden]);
    let none = zeros(m, width, x.dtype())?;
    let mut inner_bias = form.inner_reset.then(|| none.clone());
    if let Some([own, other]) = d.b {
        let outer = if form.inner_reset {
            inner_bias = Some(part(m, &other, 2 * hidden, 3 * hidden)?);
            let front = part(m, &other, 0, 2 * hidden)?;
            join(m, vec![front, none], 0)?
        } else {
            other
        };
        let bias = m.op("Add", vec![own.into(), outer.into()])?;
        from_x = m.op("Add", vec![from_x.into(), bias.into()])?;
    }
    let squash = d.functions.iter().map(Activation::squash).collect::<Option<Vec<Squash>>>();
    let plain = form.is_plain() && d.peephole.is_none();
    let one_task = squash.filter(|_| plain).and_then(|f| task(form.cell, &f, form.inner_reset));
    let more = [inner_bias, d.peephole, form.lengths.clone()].into_iter().flatten();
    let given: Vec<Val> = [from_x, d.r].into_iter().chain(d.state).chain(more).collect();

    let layer = m.builder.begin("layer");
    let inside = m.enter(&given);
    if let Some(cell) = one_task {
        let operands = inside.iter().map(|v| m.value(v)).collect();
        m.builder.layer(Layer { cell, reverse: d.backward, operands });
    }
    let results = turns(m, form, &inside, &d.functions, d.backward);
    m.end(results.as_deref().unwrap_or_default());
    let types: Vec<Type> = results?.into_iter().map(|v| v.ty).collect();
    let args = m.passed(&given);
    Ok(m.call(layer, args, &types))
}

/// What a step computes, as devices know it.
fn task(cell: Cell, functions: &[Squash], inner: bool) -> Option<task::Cell> {
    match (cell, functions) {
        (Cell::Rnn, [f]) => Some(task::Cell::Plain(*f)),
        (Cell::Gru, [f, g]) => Some(task::Cell::Gru { squash: [*f, *g], inner }),
        (Cell::Lstm, [f, g, k]) => Some(task::Cell::Lstm { squash: [*f, *g, *k], order: [0, 2, 3, 1] }),
        _ => None,
    }
}

/// The sequences from back to front, each as far as it goes.
fn reversed(m: &mut Import, x: &Val, lengths: Option<&Val>) -> Step {
    match lengths {
        Some(lengths) => m.op("ReverseSequence", vec![x.into(), lengths.into(), 0i64.into(), 1i64.into()]),
        None => m.op("ReverseV2", vec![x.into(), vec![0].into()]),
    }
}

/// The layer as a loop over what came from its input: the weights of the state, the state before the first step, the inner bias
/// or the peepholes, and the lengths of the sequences follow.
fn turns(m: &mut Import, form: &Form, given: &[Val], functions: &[Activation], backward: bool) -> Steps {
    let [from_x, r, more @ ..] = given else { return Err("there are no weights".into()) };
    let (state, rest) = more.split_at_checked(form.states()).ok_or("there is no state")?;
    let lengths = rest.last().filter(|_| form.lengths.is_some());
    let from_x = if backward { reversed(m, from_x, lengths)? } else { from_x.clone() };
    let (seq, batch) = (length(m, &from_x, 0)?, length(m, &from_x, 1)?);
    let trips = m.op("Reshape", vec![(&seq).into(), Vec::<i64>::new().into()])?;
    let width = m.vector(&[form.hidden]);
    let shape = join(m, vec![seq, batch, width], 0)?;
    let list = zeros(m, shape, from_x.dtype())?;

    let around: Vec<Val> = [from_x, r.clone()].into_iter().chain(rest.iter().cloned()).collect();
    let start: Vec<Val> = state.iter().cloned().chain([list]).collect();
    let yes = m.truth(true)?;
    let types: Vec<Type> = start.iter().map(|v| v.ty.ranked()).collect();
    let turn = Turn::begin(m, trips, yes.clone(), start, &types, around);
    let (Some((list, state)), [from_x, r, rest @ ..]) = (turn.state.split_last(), turn.fixed.as_slice()) else {
        return Err("there is no state".into());
    };
    let from_x = m.op("Gather", vec![from_x.into(), (&turn.index).into(), 0i64.into(), 0i64.into()])?;
    let mut step = Arithmetic { m: &mut *m, from_x, r: r.clone(), form, functions };
    let added = rest.first().filter(|_| rest.len() > usize::from(form.lengths.is_some()));
    let mut next = match (form.cell, state) {
        (Cell::Rnn, [h]) => step.rnn(h)?,
        (Cell::Gru, [h]) => step.gru(h, added)?,
        (Cell::Lstm, [h, cell]) => step.lstm(h, cell, added)?,
        _ => return Err("there is a state too many".into()),
    };
    let mut h = next.first().cloned().ok_or("there is no state")?;
    if let Some(lengths) = rest.last().filter(|_| form.lengths.is_some()) {
        h = within(m, &turn.index, lengths, state, &mut next)?;
    }
    next.push(place(m, list, &turn.index, &h)?);
    let mut last = turn.end(m, yes, next, Vec::new())?;
    let mut y = last.pop().ok_or("there is no result")?;
    if let Some(lengths) = lengths {
        // What has no steps has no state.
        let any = m.with("Greater", lengths, 0.0)?;
        let any = m.op("ExpandDims", vec![any.into(), 1i64.into()])?;
        for state in &mut last {
            *state = m.select_or(&any, state, 0.0)?;
        }
    }
    if backward {
        y = reversed(m, &y, lengths)?;
    }
    last.insert(0, y);
    Ok(last)
}

/// Keeps the state of sequences that are over; gives what they show then, which is 0.
fn within(m: &mut Import, index: &Val, lengths: &Val, state: &[Val], next: &mut [Val]) -> Step {
    let index = m.cast(index, lengths.dtype())?;
    let goes_on = m.two("Less", &index, lengths)?;
    let goes_on = m.op("ExpandDims", vec![goes_on.into(), 1i64.into()])?;
    let h = next.first().cloned().ok_or("there is no state")?;
    for (next, old) in next.iter_mut().zip(state) {
        *next = m.select(&goes_on, next, old)?;
    }
    m.select_or(&goes_on, &h, 0.0)
}

/// The arithmetic of one step: `from_x` is `[batch, gates · hidden]`.
struct Arithmetic<'a> {
    m: &'a mut Import,
    from_x: Val,
    r: Val,
    form: &'a Form,
    functions: &'a [Activation],
}

impl Arithmetic<'_> {
    fn op(&mut self, name: &'static str, a: &Val, b: &Val) -> Step {
        self.m.op(name, vec![a.into(), b.into()])
    }

    /// Function `i` of the layer.
    fn apply(&mut self, i: usize, x: &Val) -> Step {
        let function = self.functions.get(i).ok_or("there is no such activation")?;
        // Gates are clipped, the cell of an LSTM is not.
        match self.form.clip.filter(|_| i < 2) {
            Some(clip) => {
                let x = self.m.clamped(x, -clip, clip)?;
                function.apply(self.m, &x)
            }
            None => function.apply(self.m, x),
        }
    }

    /// `h` times the transposed rows `from` to `to` of the weights, counted in gates.
    fn product(&mut self, h: &Val, from: i64, to: i64) -> Step {
        let mut r = self.r.clone();
        if (from, to) != (0, self.form.cell.gates()) {
            let (begin, end) = (vec![from * self.form.hidden, 0], vec![to * self.form.hidden, self.form.hidden]);
            r = self.m.op("StridedSlice", vec![r.into(), begin.into(), end.into(), vec![1, 1].into()])?;
        }
        self.m.op("MatMul", vec![h.into(), r.into(), false.into(), true.into()])
    }

    /// The parts of `[batch, n · hidden]`.
    fn gates(&mut self, x: &Val, n: usize) -> Steps {
        let sizes = vec![self.form.hidden; n];
        self.m.op_n("SplitWithSize", vec![x.into(), sizes.into(), 1i64.into()], n)
    }

    fn rnn(&mut self, h: &Val) -> Steps {
        let from_h = self.product(h, 0, 1)?;
        let sum = self.op("Add", &self.from_x.clone(), &from_h)?;
        Ok(vec![self.apply(0, &sum)?])
    }

    /// With an inner bias the reset comes behind the product.
    fn gru(&mut self, h: &Val, bias: Option<&Val>) -> Steps {
        let x = self.gates(&self.from_x.clone(), 3)?;
        let from_h = self.product(h, 0, 2)?;
        let from_h = self.gates(&from_h, 2)?;
        let ([xz, xr, xn], [hz, hr]) = (x.as_slice(), from_h.as_slice()) else {
            return Err("gates are missing".into());
        };
        let (z, r) = (self.op("Add", xz, hz)?, self.op("Add", xr, hr)?);
        let (z, r) = (self.apply(0, &z)?, self.apply(0, &r)?);
        let reset = if let Some(bias) = bias {
            let from_h = self.product(h, 2, 3)?;
            let from_h = self.op("Add", &from_h, bias)?;
            self.op("Mul", &r, &from_h)?
        } else {
            let h = self.op("Mul", &r, h)?;
            self.product(&h, 2, 3)?
        };
        let n = self.op("Add", xn, &reset)?;
        let n = self.apply(1, &n)?;
        let kept = self.op("Sub", h, &n)?;
        let kept = self.op("Mul", &z, &kept)?;
        Ok(vec![self.op("Add", &n, &kept)?])
    }

    fn lstm(&mut self, h: &Val, cell: &Val, peephole: Option<&Val>) -> Steps {
        let from_h = self.product(h, 0, 4)?;
        let sum = self.op("Add", &self.from_x.clone(), &from_h)?;
        let gates = self.gates(&sum, 4)?;
        let [i, o, f, g] = gates.as_slice() else { return Err("gates are missing".into()) };
        let (i, f) = (self.peep(i, cell, peephole, 0)?, self.peep(f, cell, peephole, 2)?);
        let (i, g) = (self.apply(0, &i)?, self.apply(1, g)?);
        let f = if self.form.coupled {
            let f = self.m.one("Neg", &i)?;
            self.m.with("Add", &f, 1.0)?
        } else {
            self.apply(0, &f)?
        };
        let (kept, added) = (self.op("Mul", &f, cell)?, self.op("Mul", &i, &g)?);
        let next = self.op("Add", &kept, &added)?;
        let o = self.peep(o, &next, peephole, 1)?;
        let (o, out) = (self.apply(0, &o)?, self.apply(2, &next)?);
        Ok(vec![self.op("Mul", &o, &out)?, next])
    }

    /// A gate that sees the cell, through part `at` of the peepholes.
    fn peep(&mut self, gate: &Val, cell: &Val, peephole: Option<&Val>, at: i64) -> Step {
        let Some(p) = peephole else { return Ok(gate.clone()) };
        let p = part(self.m, p, at * self.form.hidden, (at + 1) * self.form.hidden)?;
        let seen = self.op("Mul", &p, cell)?;
        self.op("Add", gate, &seen)
    }
}

/// The results of all directions: `y` `[seq, directions, batch, hidden]`, states `[directions, batch, hidden]`.
fn stacked(m: &mut Import, directions: Vec<Vec<Val>>) -> Steps {
    let count = directions.first().map_or(0, Vec::len);
    let mut out = Vec::with_capacity(count);
    for i in 0..count {
        let axis = if i == 0 { 1i64 } else { 0 };
        let mut parts = Vec::new();
        for v in directions.iter().filter_map(|d| d.get(i)) {
            parts.push(m.op("ExpandDims", vec![v.into(), axis.into()])?);
        }
        out.push(join(m, parts, axis)?);
    }
    Ok(out)
}
