use super::lstm::{Dims, Weights, dot, sigmoid};
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::size;
use crate::ops::kit::sample::{Sample, sample};
use crate::task::{Binary, Cell, Lowering, Recurrent, Squash, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// A layer of gated recurrent units over a sequence, forwards and if `bidirectional` also backwards.
    ///
    /// `input`: `[seq, batch, input_size]`. `h`: `[directions, batch, hidden_size]`. `w`: all weights in one, with the gates
    /// update, reset, new one after the other: `[3·hidden, input]` for each direction, then `[3·hidden, hidden]` for each, then
    /// with `has_bias` `[3·hidden]` for each; what follows has no influence, and neither has `seq_lengths`. One float type.
    ///
    /// Each step computes `z = σ(x + R·h)`, `r = σ(x + R·h)`, `n = tanh(x + R·(r·h))` and `h = n + z·(h − n)`. Results: every `h`
    /// (`[seq, batch, directions · hidden_size]`), the last `h`, and two tensors `[1, 1]` of zeros in the place of MindSpore's memory
    /// for training.
    classic GRUV2 {
        input ["x"]: Operand,
        h ["hx"]: Operand,
        w: Operand,
        seq_lengths: Operand,
        input_size: i64,
        hidden_size: i64,
        num_layers: i64 = 1,
        has_bias: bool = true,
        bidirectional: bool = false,
        dropout: f64 = 0.0,
        is_train: bool = true,
    }
}

impl GRUV2 {
    fn dims(&self) -> Result<Dims, OpError> {
        let (x, h, w) = (&self.input, &self.h, &self.w);
        if self.num_layers != 1 {
            return Err(OpError::Unsupported(format!("{} layers", self.num_layers)));
        }
        let (input, hidden) = (size(self.input_size, "input_size")?, size(self.hidden_size, "hidden_size")?);
        ensure!(input.max(hidden) < 1 << 20 && hidden > 0, "input_size {input} and hidden_size {hidden}");
        let [seq, batch, own] = x.fact.ranked()?;
        ensure!(own == input, "expected [seq, batch, {input}], found {}", x.fact);
        let directions = if self.bidirectional { 2 } else { 1 };
        let d = Dims { seq, batch, input, hidden, gates: 3, directions, bias: self.has_bias };
        ensure!(h.shape() == d.state(), "expected a state {:?}, found {}", d.state(), h.fact);
        let n = d.offsets(0)[3];
        ensure!(w.count() >= n, "expected {n} weights or more, found {}", w.fact);
        let same = x.dtype().is_float() && h.dtype() == x.dtype() && w.dtype() == x.dtype();
        ensure!(same, "expected floats of one type, found {}, {} and {}", x.fact, h.fact, w.fact);
        Ok(d)
    }

    /// One direction: every `h` in the order of the sequence, and the last `h`.
    fn direction(&self, b: &mut Lowering, d: Dims, direction: usize) -> Result<[V; 2], OpError> {
        let [wx, wh, bias, _] = d.offsets(direction);
        let w = b.reshape(self.w.v, &[self.w.count()])?;
        let part = |b: &mut Lowering, offset: usize, dims: &[usize]| {
            let part = b.slice(w, &[offset], &[dims.iter().product()], &[1])?;
            b.reshape(part, dims)
        };
        let wx = part(b, wx, &[d.rows(), d.input])?;
        let wh = part(b, wh, &[d.rows(), d.hidden])?;
        let mut x = b.matmul(self.input.v, wx, false, true)?;
        if d.bias {
            let bias = part(b, bias, &[d.rows()])?;
            x = b.binary(Binary::Add, x, bias)?;
        }
        let h = b.slice(self.h.v, &[direction, 0, 0], &[1, d.batch, d.hidden], &[1; 3])?;
        let h = b.reshape(h, &[d.batch, d.hidden])?;
        let cell = Cell::Gru { squash: [Squash::Sigmoid, Squash::Tanh], inner: false };
        let (seq, batch, hidden, dtype) = (d.seq, d.batch, d.hidden, self.input.dtype());
        let task = Recurrent { cell, seq, batch, hidden, reverse: direction == 1, dtype };
        let out = b.recurrent(task, &[x, wh, h]);
        out.try_into().map_err(|out| OpError::Invalid(format!("expected two results of the steps, found {out:?}")))
    }
}

/// The operands as numbers.
struct Numbers {
    d: Dims,
    x: Grid<3>,
    w: Weights,
}

/// The gates of a step: update, reset, new.
type Gates = [f64; 3];

impl Numbers {
    /// The gates of element `j` of sequence `b` at place `at`, for the `before` of all elements.
    fn gates(&self, [direction, at, b, j]: [usize; 4], before: &Grid<2>) -> Result<Gates, OpError> {
        let (d, w) = (self.d, &self.w);
        let sum = |gate: usize, h: &dyn Fn(usize) -> Result<f64, OpError>| {
            let row = [direction, gate * d.hidden + j];
            let own = dot(&w.x, row, &self.x, [at, b])? + w.bias.at(row)?;
            let terms = (0..d.hidden).map(|k| Ok(h(k)? * w.h.at([direction, row[1], k])?));
            Ok::<_, OpError>(own + terms.sum::<Result<f64, OpError>>()?)
        };
        let plain = |k: usize| before.at([b, k]);
        let reset = |k: usize| Ok(self.reset([direction, at, b, k], before)? * before.at([b, k])?);
        let z = sigmoid(sum(0, &plain)?);
        Ok([z, self.reset([direction, at, b, j], before)?, sum(2, &reset)?.tanh()])
    }

    fn reset(&self, [direction, at, b, j]: [usize; 4], before: &Grid<2>) -> Result<f64, OpError> {
        let row = [direction, self.d.hidden + j];
        let own = dot(&self.w.x, row, &self.x, [at, b])? + self.w.bias.at(row)?;
        let terms = (0..self.d.hidden).map(|k| Ok(before.at([b, k])? * self.w.h.at([direction, row[1], k])?));
        Ok(sigmoid(own + terms.sum::<Result<f64, OpError>>()?))
    }
}

/// The part of `states` (`[…, batch, …]`) of one direction, `[batch, hidden]`.
fn state(states: &Grid<3>, d: Dims, at: impl Fn(usize, usize) -> [usize; 3]) -> Result<Grid<2>, OpError> {
    let mut own = Grid::zeros([d.batch, d.hidden])?;
    each([d.batch, d.hidden], |[b, j]| {
        *own.at_mut([b, j])? = states.at(at(b, j))?;
        Ok(())
    })?;
    Ok(own)
}

impl Rule for GRUV2 {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (d, dtype) = (self.dims()?, self.input.dtype());
        let none = Fact::new(dtype, &[1, 1]);
        Ok(vec![Fact::new(dtype, &d.all()), Fact::new(dtype, &d.state()), none.clone(), none])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.dims()?;
        let n = Numbers { d, x: Grid::read(&self.input)?, w: Weights::new(d, &self.w.f64s()?)? };
        let (mut h, mut y) = (Grid::read(&self.h)?, Grid::zeros(d.all())?);
        for (direction, s) in (0..d.directions).flat_map(|direction| (0..d.seq).map(move |s| (direction, s))) {
            let (at, before) = (d.step(direction, s), state(&h, d, |b, j| [direction, b, j])?);
            each([d.batch, d.hidden], |[b, j]| {
                let [z, _, new] = n.gates([direction, at, b, j], &before)?;
                let out = new + z * (before.at([b, j])? - new);
                *h.at_mut([direction, b, j])? = out;
                *y.at_mut([at, b, direction * d.hidden + j])? = out;
                Ok(())
            })?;
        }
        let dtype = self.input.dtype();
        let none = Tensor::zeros(dtype, &[1, 1])?;
        Ok(vec![y.tensor(dtype)?, h.tensor(dtype)?, none.clone(), none])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = self.dims()?;
        if d.seq == 0 || d.batch == 0 || d.input == 0 {
            return Ok(None);
        }
        let (mut every, mut last) = (Vec::new(), Vec::new());
        for direction in 0..d.directions {
            let [y, h] = self.direction(b, d, direction)?;
            every.push(y);
            last.push(b.reshape(h, &[1, d.batch, d.hidden])?);
        }
        let none = b.constant(Tensor::zeros(self.input.dtype(), &[1, 1])?);
        Ok(Some(vec![b.concat(&every, 2)?, b.concat(&last, 0)?, none, none]))
    }

    fn cases() -> Vec<Case> {
        let one = |sizes, bias, two, name| {
            let (s, _) = operands(sizes, bias, two);
            arguments(s, sizes, bias, two).flag(true).case(name)
        };
        vec![
            one([5, 2, 3, 4], true, false, "forwards"),
            one([3, 1, 4, 2], false, false, "without bias"),
            one([4, 2, 3, 2], true, true, "both directions"),
        ]
    }
}

/// The operands of a layer for cases, and the dimensions of every `h` and of the last.
fn operands([seq, batch, input, hidden]: [usize; 4], bias: bool, two: bool) -> (Sample, [[usize; 3]; 2]) {
    let d = if two { 2 } else { 1 };
    let n = d * 3 * hidden * (input + hidden + usize::from(bias));
    let (all, state) = ([seq, batch, d * hidden], [d, batch, hidden]);
    let s = sample().tensor(DType::F32, &[seq, batch, input]).tensor(DType::F32, &state);
    let lengths = vec![seq as i64; batch];
    (s.tensor(DType::F32, &[n, 1, 1]).index(DType::I32, &[batch], &lengths), [all, state])
}

/// The numbers behind the operands.
fn arguments(s: Sample, [_, _, input, hidden]: [usize; 4], bias: bool, two: bool) -> Sample {
    s.int(input as i64).int(hidden as i64).int(1).flag(bias).flag(two).real(0.0)
}

op! {
    /// The gradient of `GRUV2`: those of `x`, `hx` and `w`.
    ///
    /// `x`, `hx`, `w`, `seq_length`: the operands of `GRUV2`, whose other arguments are those here too. `y`, `hy`: what it makes of
    /// them; `y` is taken for every `h`. `dy`, `dhy`: the gradients of these two. `reserve` has no influence: the gates are computed
    /// again. One float type.
    classic GRUV2Grad {
        x: Operand,
        hx: Operand,
        w: Operand,
        seq_length: Operand,
        y: Operand,
        hy: Operand,
        dy: Operand,
        dhy: Operand,
        reserve: Operand,
        input_size: i64,
        hidden_size: i64,
        num_layers: i64 = 1,
        has_bias: bool = true,
        bidirectional: bool = false,
        dropout: f64 = 0.0,
    }
}

impl GRUV2Grad {
    fn dims(&self) -> Result<Dims, OpError> {
        let forward = GRUV2 {
            input: self.x.clone(),
            h: self.hx.clone(),
            w: self.w.clone(),
            seq_lengths: self.seq_length.clone(),
            input_size: self.input_size,
            hidden_size: self.hidden_size,
            num_layers: self.num_layers,
            has_bias: self.has_bias,
            bidirectional: self.bidirectional,
            dropout: self.dropout,
            is_train: true,
        };
        let d = forward.dims()?;
        for (found, dims) in [(&self.y, d.all()), (&self.dy, d.all()), (&self.dhy, d.state())] {
            let expected = Fact::new(self.x.dtype(), &dims);
            ensure!(found.fact == expected, "expected {expected}, found {}", found.fact);
        }
        Ok(d)
    }
}

impl Rule for GRUV2Grad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.dims()?;
        Ok([&self.x, &self.hx, &self.w].map(|x| Fact::clone(&x.fact)).to_vec())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.dims()?;
        let n = Numbers { d, x: Grid::read(&self.x)?, w: Weights::new(d, &self.w.f64s()?)? };
        let (first, y, dy) = (Grid::read(&self.hx)?, Grid::read(&self.y)?, Grid::read(&self.dy)?);
        let (mut dh, mut dx, mut dw) = (Grid::read(&self.dhy)?, Grid::zeros(n.x.dims)?, Grid::zeros([self.w.count()])?);
        for (direction, s) in (0..d.directions).flat_map(|direction| (0..d.seq).rev().map(move |s| (direction, s))) {
            let at = d.step(direction, s);
            let before = match s.checked_sub(1).map(|s| d.step(direction, s)) {
                None => state(&first, d, |b, j| [direction, b, j])?,
                Some(at) => state(&y, d, |b, j| [at, b, direction * d.hidden + j])?,
            };
            let [wx, wh, bias, _] = d.offsets(direction);
            let mut back = Grid::zeros([d.batch, d.hidden])?;
            // The gradients of the sums of each gate, and what `R` is multiplied by there.
            let mut grads = Grid::zeros([3, d.batch, d.hidden])?;
            let mut resets = Grid::zeros([d.batch, d.hidden])?;
            each([d.batch, d.hidden], |[b, j]| {
                let ([z, r, new], h) = (n.gates([direction, at, b, j], &before)?, before.at([b, j])?);
                let grad = dh.at([direction, b, j])? + dy.at([at, b, direction * d.hidden + j])?;
                *back.at_mut([b, j])? = grad * z;
                *grads.at_mut([0, b, j])? = grad * (h - new) * z * (1.0 - z);
                *grads.at_mut([2, b, j])? = grad * (1.0 - z) * (1.0 - new * new);
                *resets.at_mut([b, j])? = r;
                Ok(())
            })?;
            each([d.batch, d.hidden], |[b, k]| {
                let row = |j: usize| [direction, 2 * d.hidden + j, k];
                let terms = (0..d.hidden).map(|j| Ok(grads.at([2, b, j])? * n.w.h.at(row(j))?));
                let (grad, r, h) = (terms.sum::<Result<f64, OpError>>()?, resets.at([b, k])?, before.at([b, k])?);
                *grads.at_mut([1, b, k])? = grad * h * r * (1.0 - r);
                *back.at_mut([b, k])? += grad * r;
                Ok(())
            })?;
            each([3, d.batch, d.hidden], |[gate, b, j]| {
                let (grad, row) = (grads.at([gate, b, j])?, gate * d.hidden + j);
                for k in 0..d.input {
                    *dx.at_mut([at, b, k])? += grad * n.w.x.at([direction, row, k])?;
                    *dw.at_mut([wx + row * d.input + k])? += grad * n.x.at([at, b, k])?;
                }
                for k in 0..d.hidden {
                    let h = before.at([b, k])?;
                    let taken = if gate == 2 { h * resets.at([b, k])? } else { h };
                    *dw.at_mut([wh + row * d.hidden + k])? += grad * taken;
                    if gate < 2 {
                        *back.at_mut([b, k])? += grad * n.w.h.at([direction, row, k])?;
                    }
                }
                if d.bias {
                    *dw.at_mut([bias + row])? += grad;
                }
                Ok(())
            })?;
            each([d.batch, d.hidden], |[b, j]| {
                *dh.at_mut([direction, b, j])? = back.at([b, j])?;
                Ok(())
            })?;
        }
        let dtype = self.x.dtype();
        Ok(vec![dx.tensor(dtype)?, dh.tensor(dtype)?, dw.tensor(dtype)?.reshape(self.w.shape())?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let one = |sizes, two, name| {
            let (s, [all, state]) = operands(sizes, true, two);
            let s = s.tensor(DType::F32, &all).tensor(DType::F32, &state).tensor(DType::F32, &all);
            let s = s.tensor(DType::F32, &state).tensor(DType::F32, &[1, 1]);
            arguments(s, sizes, true, two).case(name)
        };
        vec![one([3, 2, 3, 2], false, "forwards"), one([2, 1, 2, 2], true, "both directions")]
    }
}
