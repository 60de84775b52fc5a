use crate::onnx::{Edge, Emit, Forms, NoForm};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::size;
use crate::ops::kit::sample::sample;
use crate::ops::linear::product::reshaped;
use crate::ops::shape::cut::Cut;
use crate::task::{Binary, Cell, Lowering, Recurrent, Squash, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// A layer of long short-term memory over a sequence, forwards and if `bidirectional` also backwards.
    ///
    /// `x`: `[seq, batch, input_size]`. `h`, `c`: `[directions, batch, hidden_size]`. `w`: all weights in one, with the gates
    /// input, forget, cell, output one after the other: `[4·hidden, input]` for each direction, then `[4·hidden, hidden]` for
    /// each direction, then with `has_bias` `[4·hidden]` for each direction, the sum of both biases. One float type.
    ///
    /// Each step computes `c = σ(f)·c + σ(i)·tanh(g)` and `h = σ(o)·tanh(c)`. Results: every `h`
    /// (`[seq, batch, directions · hidden_size]`), the last `h`, the last `c`, and two tensors `[1, 1]` of zeros in the place of
    /// MindSpore's memory for training.
    classic LSTM {
        x ["input"]: Operand,
        h ["hx"]: Operand,
        c ["cx"]: Operand,
        w: Operand,
        input_size: i64,
        hidden_size: i64,
        num_layers: i64 = 1,
        has_bias: bool = true,
        bidirectional: bool = false,
        dropout: f64 = 0.0,
        proj_size: i64 = 0,
    }
}

#[derive(Clone, Copy)]
pub(super) struct Dims {
    pub seq: usize,
    pub batch: usize,
    pub input: usize,
    pub hidden: usize,
    /// Rows of the weights for each element of the state.
    pub gates: usize,
    pub directions: usize,
    pub bias: bool,
}

impl Dims {
    /// Where the input weights, the hidden weights and the bias of a direction start, and the number of all weights.
    pub fn offsets(&self, direction: usize) -> [usize; 4] {
        let rows = self.rows();
        let [wi, wh, bias] = [rows * self.input, rows * self.hidden, if self.bias { rows } else { 0 }];
        let d = self.directions;
        [direction * wi, d * wi + direction * wh, d * (wi + wh) + direction * bias, d * (wi + wh + bias)]
    }

    /// The position read at step `s` of a direction.
    pub fn step(&self, direction: usize, s: usize) -> usize {
        if direction == 0 { s } else { self.seq - 1 - s }
    }

    /// Rows of the weights.
    pub fn rows(&self) -> usize {
        self.gates * self.hidden
    }

    /// Dimensions of every `h`.
    pub fn all(&self) -> [usize; 3] {
        [self.seq, self.batch, self.directions * self.hidden]
    }

    /// Dimensions of the last `h` and the last `c`.
    pub fn state(&self) -> [usize; 3] {
        [self.directions, self.batch, self.hidden]
    }
}

impl LSTM {
    /// Weights of all directions, `[directions, 4 · hidden, cols]`, with the gates in ONNX's order: input, output, forget, cell.
    fn gates(&self, e: &mut Emit, d: Dims, start: usize, cols: usize) -> Result<Edge, NoForm> {
        let block = d.hidden * cols;
        let Some(w) = &self.w.known else {
            let all = e.edge(&self.w)?;
            let all = e.reshape(all, &[-1]);
            let own = e.slice(all, 0, start as i64, (start + d.directions * 4 * block) as i64);
            let own = e.reshape(own, &[d.directions as i64, 4, block as i64]);
            let order = e.vector(&[0, 3, 1, 2]);
            let own = e.op_with("Gather", &[own, order], vec![("axis", 1.into())]);
            return Ok(e.reshape(own, &[d.directions as i64, 4 * d.hidden as i64, cols as i64]));
        };
        let w = w.to_f64s()?;
        let mut out = Vec::with_capacity(d.directions * 4 * block);
        for direction in 0..d.directions {
            for gate in [0, 3, 1, 2] {
                out.extend(w.iter().skip(start + (direction * 4 + gate) * block).take(block));
            }
        }
        Ok(e.constant(Tensor::from_f64s(self.x.dtype(), &[d.directions, 4 * d.hidden, cols], &out)?))
    }

    /// What the weights are for; without the lengths of a run.
    fn sized(&self) -> Result<Dims, OpError> {
        if self.num_layers != 1 || self.proj_size != 0 {
            let what = format!("{} layers with a projection to {}", self.num_layers, self.proj_size);
            return Err(OpError::Unsupported(what));
        }
        let (input, hidden) = (size(self.input_size, "input_size")?, size(self.hidden_size, "hidden_size")?);
        ensure!(input.max(hidden) < 1 << 20 && hidden > 0, "input_size {input} and hidden_size {hidden}");
        let own = matches!(*self.x.dims(), [_, _, own] if own.is_none_or(|own| own == input));
        ensure!(own, "expected [seq, batch, {input}], found {}", self.x.fact);
        let directions = if self.bidirectional { 2 } else { 1 };
        let d = Dims { seq: 0, batch: 0, input, hidden, gates: 4, directions, bias: self.has_bias };
        let n = d.offsets(0)[3];
        ensure!(self.w.count() == n, "expected {n} weights, found {}", self.w.fact);
        Ok(d)
    }

    pub(super) fn dims(&self) -> Result<Dims, OpError> {
        let [seq, batch, _] = self.x.fact.ranked()?;
        let d = Dims { seq, batch, ..self.sized()? };
        for s in [&self.h, &self.c] {
            ensure!(s.shape() == d.state(), "expected a state {:?}, found {}", d.state(), s.fact);
        }
        let dtype = self.x.dtype();
        let same = [&self.h, &self.c, &self.w].iter().all(|o| o.dtype() == dtype);
        ensure!(same && dtype.is_float(), "expected floats of one type, found {dtype} with other types");
        Ok(d)
    }

    fn outputs(&self, d: Dims) -> Vec<Fact> {
        let fact = |dims: &[usize]| Fact::new(self.x.dtype(), dims);
        let state = fact(&d.state());
        vec![fact(&d.all()), state.clone(), state, fact(&[1, 1]), fact(&[1, 1])]
    }

    /// A range of the weights as a matrix.
    fn weights(&self, b: &mut Lowering, offset: usize, rows: usize, cols: usize) -> Result<Operand, OpError> {
        let v = b.reshape(self.w.v, &[self.w.count()])?;
        let flat = reshaped(&self.w, v, &[self.w.count()])?;
        let v = Cut::range(&flat, 0, offset, rows * cols)?.value(b)?;
        let v = b.reshape(v, &[rows, cols])?;
        Ok(Operand { v, fact: Fact::new(self.x.dtype(), &[rows, cols]).into(), known: None })
    }

    /// One direction: every `h` in the order of the sequence, the last `h` and the last `c`.
    fn direction(&self, b: &mut Lowering, d: Dims, direction: usize) -> Result<[V; 3], OpError> {
        let [wi, wh, bias, _] = d.offsets(direction);
        let gates = 4 * d.hidden;
        let (wi, wh) = (self.weights(b, wi, gates, d.input)?, self.weights(b, wh, gates, d.hidden)?);
        let mut projected = b.matmul(self.x.v, wi.v, false, true)?;
        if d.bias {
            let bias = self.weights(b, bias, 1, gates)?.v;
            projected = b.binary(Binary::Add, projected, bias)?;
        }
        let mut state = |s: &Operand| {
            let v = Cut::range(s, 0, direction, 1)?.value(b)?;
            b.reshape(v, &[d.batch, d.hidden])
        };
        let (h, c) = (state(&self.h)?, state(&self.c)?);
        let task = Recurrent {
            cell: Cell::Lstm { squash: [Squash::Sigmoid, Squash::Tanh, Squash::Tanh], order: [0, 1, 2, 3] },
            seq: d.seq,
            batch: d.batch,
            hidden: d.hidden,
            reverse: direction == 1,
            dtype: self.x.dtype(),
        };
        let out = b.recurrent(task, &[projected, wh.v, h, c]);
        out.try_into().map_err(|out| OpError::Invalid(format!("expected three results of the steps, found {out:?}")))
    }
}

/// The weights of all directions, a row for each gate of each element: of the input, of `h`, and the bias.
pub(super) struct Weights {
    pub x: Grid<3>,
    pub h: Grid<3>,
    pub bias: Grid<2>,
}

impl Weights {
    pub fn new(d: Dims, w: &[f64]) -> Result<Weights, OpError> {
        let (rows, [_, h, bias, end]) = (d.rows(), d.offsets(0));
        let part = |from: usize, to: usize| w.iter().take(to).skip(from).copied().collect();
        let zeros = Grid::zeros([d.directions, rows])?;
        Ok(Weights {
            x: Grid::new([d.directions, rows, d.input], part(0, h))?,
            h: Grid::new([d.directions, rows, d.hidden], part(h, bias))?,
            bias: if d.bias { Grid::new(zeros.dims, part(bias, end))? } else { zeros },
        })
    }
}

/// `Σ row · v` over the last dimension: a row of weights and one of values.
pub(super) fn dot(w: &Grid<3>, [direction, row]: [usize; 2], v: &Grid<3>, [i, b]: [usize; 2]) -> Result<f64, OpError> {
    let [_, _, len] = v.dims;
    (0..len).map(|k| Ok(v.at([i, b, k])? * w.at([direction, row, k])?)).sum()
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Rule for LSTM {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let d = self.dims()?;
        Ok(self.outputs(d))
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.dims()?;
        let (x, w) = (Grid::read(&self.x)?, Weights::new(d, &self.w.f64s()?)?);
        let (mut h, mut c) = (Grid::read(&self.h)?, Grid::read(&self.c)?);
        let mut y = Grid::zeros(d.all())?;
        for (direction, s) in (0..d.directions).flat_map(|direction| (0..d.seq).map(move |s| (direction, s))) {
            let (at, before) = (d.step(direction, s), h.clone());
            each([d.batch, d.hidden], |[b, j]| {
                let gate = |gate: usize| {
                    let row = [direction, gate * d.hidden + j];
                    let (x, h) = (dot(&w.x, row, &x, [at, b])?, dot(&w.h, row, &before, [direction, b])?);
                    Ok::<_, OpError>(x + h + w.bias.at(row)?)
                };
                let (i, f, g, o) = (gate(0)?, gate(1)?, gate(2)?, gate(3)?);
                let cell = c.at_mut([direction, b, j])?;
                *cell = sigmoid(f) * *cell + sigmoid(i) * g.tanh();
                let out = sigmoid(o) * cell.tanh();
                *h.at_mut([direction, b, j])? = out;
                *y.at_mut([at, b, direction * d.hidden + j])? = out;
                Ok(())
            })?;
        }
        let none = Tensor::zeros(self.x.dtype(), &[1, 1])?;
        let [y, h, c] = [y, h, c].map(|values| values.tensor(self.x.dtype()));
        Ok(vec![y?, h?, c?, none.clone(), none])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = self.dims()?;
        if d.seq == 0 || d.batch == 0 || d.input == 0 {
            return Ok(None);
        }
        let (mut every, mut last_h, mut last_c) = (Vec::new(), Vec::new(), Vec::new());
        for direction in 0..d.directions {
            let [y, h, c] = self.direction(b, d, direction)?;
            every.push(y);
            last_h.push(b.reshape(h, &[1, d.batch, d.hidden])?);
            last_c.push(b.reshape(c, &[1, d.batch, d.hidden])?);
        }
        let none = b.constant(Tensor::zeros(self.x.dtype(), &[1, 1])?);
        Ok(Some(vec![b.concat(&every, 2)?, b.concat(&last_h, 0)?, b.concat(&last_c, 0)?, none, none]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let d = self.sized()?;
        if self.x.dtype() != DType::F32 {
            return Ok(None);
        }
        let [_, hidden, bias, _] = d.offsets(0);
        let (wi, wh) = (self.gates(e, d, 0, d.input)?, self.gates(e, d, hidden, d.hidden)?);
        let bias = if d.bias {
            let sum = self.gates(e, d, bias, 1)?;
            let sum = e.squeeze(sum, &[2]);
            let zeros = e.constant(Tensor::zeros(DType::F32, &[d.directions, 4 * d.hidden])?);
            Some(e.concat(&[sum, zeros], 1))
        } else {
            None
        };
        let (x, h, c) = (e.edge(&self.x)?, e.edge(&self.h)?, e.edge(&self.c)?);
        let direction = if d.directions == 2 { "bidirectional" } else { "forward" };
        let attrs = vec![("hidden_size", (d.hidden as i64).into()), ("direction", direction.into())];
        let inputs = [Some(x), Some(wi), Some(wh), bias, None, Some(h), Some(c)];
        let [y, h, c] = e.results("LSTM", &inputs, attrs);
        let y = e.transpose(y, &[0, 2, 1, 3]);
        // 0 keeps a dimension.
        let shape = e.vector(&[0, 0, (d.directions * d.hidden) as i64]);
        let y = e.op("Reshape", &[y, shape]);
        let none = e.constant(Tensor::zeros(DType::F32, &[1, 1])?);
        Ok(Some(vec![y, h, c, none, none]))
    }

    fn cases() -> Vec<Case> {
        let one = |dtype, [seq, batch, input, hidden]: [usize; 4], bias, two, name| {
            let d = if two { 2 } else { 1 };
            let n = d * 4 * hidden * (input + hidden + usize::from(bias));
            let s = sample().tensor(dtype, &[seq, batch, input]).tensor(dtype, &[d, batch, hidden]);
            let s = s.tensor(dtype, &[d, batch, hidden]).tensor(dtype, &[n, 1, 1]);
            s.int(input as i64).int(hidden as i64).int(1).flag(bias).flag(two).real(0.0).int(0).case(name)
        };
        vec![
            one(DType::F32, [5, 2, 3, 4], true, false, "forwards"),
            one(DType::F32, [3, 1, 4, 2], false, false, "without bias"),
            one(DType::F32, [4, 2, 3, 2], true, true, "both directions"),
            one(DType::F16, [2, 1, 3, 2], true, false, "f16"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::kit::sample::filled;

    /// MindSpore 2.10 on the CPU, with `w[i] = 0.6 · sin(0.7 i)`.
    #[test]
    fn gates_and_directions_are_mindspores() {
        let s = sample().arg(filled(DType::F32, &[3, 2, 3], |i| 0.1 * i as f64 - 0.5));
        let s = s.arg(filled(DType::F32, &[2, 2, 2], |i| 0.1 * i as f64));
        let s = s.arg(filled(DType::F32, &[2, 2, 2], |i| 0.2 * i as f64 - 0.3));
        let s = s.arg(filled(DType::F32, &[96, 1, 1], |i| 0.6 * (0.7 * i as f64).sin()));
        let lstm: LSTM = s.int(3).int(2).int(1).flag(true).flag(true).operator().unwrap();
        let out = lstm.reference().unwrap();
        let first = [-0.045051, 0.062963, 0.252058, 0.160258, 0.103101, 0.094424, 0.263390, 0.207599];
        let last_c = [0.480770, -0.429498, 0.667521, -0.629057, 0.402447, 0.643597, 0.521893, 0.686997];
        for (got, want) in [(&out[0], first), (&out[2], last_c)] {
            for (g, w) in got.to_f64s().unwrap().iter().zip(want) {
                assert!((g - w).abs() < 1e-5, "{got:?} {want:?}");
            }
        }
    }
}
