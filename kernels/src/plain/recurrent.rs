use mindir_graph::task::{Cell, Recurrent};
use mindir_graph::{Fact, OpError, Tensor, bounds, ensure};

use super::{moderate, operand, result};

pub(super) fn run(t: &Recurrent, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let (rows, state) = (t.cell.gates().saturating_mul(t.hidden), [t.batch, t.hidden]);
    moderate("recurrent", &[t.seq, t.batch, rows])?;
    ensure!(t.dtype.is_float(), "recurrent: element type {}", t.dtype);
    if let Cell::Lstm { order, .. } = t.cell {
        ensure!((0..4).all(|g| order.contains(&g)), "recurrent: {order:?} is no order of four gates");
    }
    let read = |i: usize, dims: &[usize]| Ok::<_, OpError>(operand("recurrent", ins, i, t.dtype, dims)?.to_f64s()?);
    let (x, r) = (read(0, &[t.seq, t.batch, rows])?, read(1, &[rows, t.hidden])?);
    let mut h = read(2, &state)?;
    let fourth = match t.cell {
        Cell::Lstm { .. } => Some(read(3, &state)?),
        Cell::Gru { inner: true, .. } => Some(read(3, &[t.hidden])?),
        _ => None,
    };
    let mut run = Run { t, r: &r, more: fourth.unwrap_or_default() };
    let mut y = vec![0.0; t.seq * t.batch * t.hidden];
    for step in 0..t.seq {
        let at = t.position(step) * t.batch;
        for b in 0..t.batch {
            bounds::check()?;
            let row = b * t.hidden..(b + 1) * t.hidden;
            let next = run.step(b, &x[(at + b) * rows..][..rows], &h[row.clone()]);
            h[row].copy_from_slice(&next);
        }
        y[at * t.hidden..][..h.len()].copy_from_slice(&h);
    }
    let all = result("recurrent", outs, 0, t.dtype, &[t.seq, t.batch, t.hidden])?;
    let last = result("recurrent", outs, 1, t.dtype, &state)?;
    let mut results = vec![Tensor::from_f64s(t.dtype, &all.shape, &y)?, Tensor::from_f64s(t.dtype, &last.shape, &h)?];
    if matches!(t.cell, Cell::Lstm { .. }) {
        let c = result("recurrent", outs, 2, t.dtype, &state)?;
        results.push(Tensor::from_f64s(t.dtype, &c.shape, &run.more)?);
    }
    Ok(results)
}

struct Run<'a> {
    t: &'a Recurrent,
    r: &'a [f64],
    /// The `c` of an LSTM, or the inner bias.
    more: Vec<f64>,
}

impl Run<'_> {
    /// Element `j` of `R·v` for one gate.
    fn product(&self, gate: usize, j: usize, v: &[f64]) -> f64 {
        let row = &self.r[(gate * self.t.hidden + j) * self.t.hidden..][..self.t.hidden];
        row.iter().zip(v).map(|(a, b)| a * b).sum()
    }

    /// The state of sequence `b` after a step.
    fn step(&mut self, b: usize, x: &[f64], h: &[f64]) -> Vec<f64> {
        let n = self.t.hidden;
        match self.t.cell {
            Cell::Plain(f) => (0..n).map(|j| f.apply(x[j] + self.product(0, j, h))).collect(),
            Cell::Gru { squash: [f, g], inner } => {
                let gate = |i: usize, j: usize| f.apply(x[i * n + j] + self.product(i, j, h));
                let z: Vec<f64> = (0..n).map(|j| gate(0, j)).collect();
                let r: Vec<f64> = (0..n).map(|j| gate(1, j)).collect();
                let reset: Vec<f64> = r.iter().zip(h).map(|(r, h)| r * h).collect();
                let candidate = |j: usize| {
                    let sum =
                        if inner { r[j] * (self.product(2, j, h) + self.more[j]) } else { self.product(2, j, &reset) };
                    g.apply(x[2 * n + j] + sum)
                };
                (0..n).map(|j| (candidate(j), j)).map(|(new, j)| new + z[j] * (h[j] - new)).collect()
            }
            Cell::Lstm { squash: [f, g, k], order } => {
                let next = |j: usize| {
                    let [i, forget, cell, out] = order.map(|gate| x[gate * n + j] + self.product(gate, j, h));
                    let c = f.apply(forget) * self.more[b * n + j] + f.apply(i) * g.apply(cell);
                    (c, f.apply(out) * k.apply(c))
                };
                let (c, h): (Vec<f64>, Vec<f64>) = (0..n).map(next).unzip();
                self.more[b * n..(b + 1) * n].copy_from_slice(&c);
                h
            }
        }
    }
}
