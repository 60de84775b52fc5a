use crate::{DType, Fact};

/// What squashes the sums of a [`Recurrent`]'s gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squash {
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `ln(1 + exp(x))`.
    Softplus,
}

impl Squash {
    /// The function of `x`.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Squash::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Squash::Tanh => x.tanh(),
            Squash::Relu if x.is_nan() => x,
            Squash::Relu => x.max(0.0),
            Squash::Softsign => x / (1.0 + x.abs()),
            Squash::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        }
    }
}

/// What a step of a [`Recurrent`] computes of the sums `s` of its gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// One gate: `h = f(s)`.
    Plain(Squash),
    /// Gates update, reset and new: `z = f(s)`, `r = f(s)`, `n = g(x + R·(r·h))` and `h = n + z·(h − n)`; with `inner` the reset
    /// comes behind the product, `n = g(x + r·(R·h + b))`.
    Gru {
        /// `f` and `g`.
        squash: [Squash; 2],
        /// Whether the reset comes behind the product.
        inner: bool,
    },
    /// Gates input, forget, cell and output: `c = f(s)·c + f(s)·g(s)` and `h = f(s)·k(c)`.
    Lstm {
        /// `f`, `g` and `k`.
        squash: [Squash; 3],
        /// The places of the gates among the sums.
        order: [usize; 4],
    },
}

impl Cell {
    /// What the layer is called.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Plain(_) => "RNN",
            Cell::Gru { .. } => "GRU",
            Cell::Lstm { .. } => "LSTM",
        }
    }

    /// How many sums of the length of the state there are.
    pub fn gates(self) -> usize {
        match self {
            Cell::Plain(_) => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm { .. } => 4,
        }
    }
}

/// One direction of a recurrent layer, after the product with its input: step by step `s = x + R·h` for every gate.
///
/// Inputs: `x` `[seq, batch, gates · hidden]`, biases included; `r` `[gates · hidden, hidden]`; the first `h` `[batch, hidden]`;
/// for [`Cell::Lstm`] the first `c` `[batch, hidden]`; for [`Cell::Gru`] with `inner` `b` `[hidden]`. Outputs: every `h`
/// `[seq, batch, hidden]`, the last `h`, and for [`Cell::Lstm`] the last `c`.
#[derive(Clone, Debug)]
pub struct Recurrent {
    /// What a step computes.
    pub cell: Cell,
    /// Number of steps.
    pub seq: usize,
    /// Number of sequences.
    pub batch: usize,
    /// Length of the state.
    pub hidden: usize,
    /// From the last step to the first.
    pub reverse: bool,
    /// Element type.
    pub dtype: DType,
}

impl Recurrent {
    /// The task for operands of these facts, if they fit it.
    pub fn new(cell: Cell, reverse: bool, ins: &[&Fact]) -> Option<Recurrent> {
        let [x, r, h, ..] = ins else { return None };
        let ([seq, batch, rows], [_, hidden]) = (x.shape.as_slice(), h.shape.as_slice()) else { return None };
        let (seq, batch, rows, hidden) = (*seq, *batch, *rows, *hidden);
        let t = Recurrent { cell, seq, batch, hidden, reverse, dtype: x.dtype };
        let state = [batch, hidden];
        let fourth: &[usize] = if matches!(cell, Cell::Lstm { .. }) { &state } else { &state[1..] };
        let dims = [&[seq, batch, rows][..], &[rows, hidden], &state, fourth];
        let fits = |(f, dims): (&&Fact, &&[usize])| f.dtype == t.dtype && f.shape.as_slice() == *dims;
        let whole = cell.gates().checked_mul(hidden) == Some(rows) && r.dtype.is_float();
        (whole && ins.len() == t.operands() && ins.iter().zip(&dims).all(fits)).then_some(t)
    }

    /// The position in the sequence of step `step`.
    pub fn position(&self, step: usize) -> usize {
        if self.reverse { self.seq - 1 - step } else { step }
    }

    /// Number of operands.
    pub fn operands(&self) -> usize {
        match self.cell {
            Cell::Plain(_) | Cell::Gru { inner: false, .. } => 3,
            Cell::Gru { inner: true, .. } | Cell::Lstm { .. } => 4,
        }
    }
}
