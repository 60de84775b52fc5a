use super::lstm::{Dims, LSTM, Weights, dot, sigmoid};
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::sample::sample;
use crate::task::{Binary, Lowering, Program, ReduceKind, Reg, Unary, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The gradient of `LSTM`: those of `x`, `hx`, `cx` and `w`.
    ///
    /// `x`, `hx`, `cx`, `w`: the operands of `LSTM`, whose other arguments are those here too. `y`, `hy`, `cy`: what it makes of
    /// them; `y` is taken for every `h`, the others have no influence. `dy`, `dhy`, `dcy`: the gradients of these three. `reserve`
    /// has no influence: the gates are computed again. One float type.
    classic LSTMGrad {
        x: Operand,
        hx: Operand,
        cx: Operand,
        w: Operand,
        y: Operand,
        hy: Operand,
        cy: Operand,
        dy: Operand,
        dhy: Operand,
        dcy: Operand,
        reserve: Operand,
        input_size: i64,
        hidden_size: i64,
        num_layers: i64 = 1,
        has_bias: bool = true,
        bidirectional: bool = false,
        dropout: f64 = 0.0,
        proj_size: i64 = 0,
    }
}

/// More steps than these are not worth tasks of their own.
const STEPS: usize = 512;

impl LSTMGrad {
    fn dims(&self) -> Result<Dims, OpError> {
        let forward = LSTM {
            x: self.x.clone(),
            h: self.hx.clone(),
            c: self.cx.clone(),
            w: self.w.clone(),
            input_size: self.input_size,
            hidden_size: self.hidden_size,
            num_layers: self.num_layers,
            has_bias: self.has_bias,
            bidirectional: self.bidirectional,
            dropout: self.dropout,
            proj_size: self.proj_size,
        };
        let d = forward.dims()?;
        for (found, dims) in [(&self.y, d.all()), (&self.dy, d.all()), (&self.dhy, d.state()), (&self.dcy, d.state())] {
            let expected = Fact::new(self.x.dtype(), &dims);
            ensure!(found.fact == expected, "expected {expected}, found {}", found.fact);
        }
        Ok(d)
    }
}

/// What one direction computed forwards: the activated gates input, forget, cell, output, and every `c`, before and after.
struct Forward {
    gates: Grid<4>,
    before: Grid<3>,
    after: Grid<3>,
}

/// The operands as numbers.
struct Numbers {
    d: Dims,
    x: Grid<3>,
    w: Weights,
    h: Grid<3>,
    c: Grid<3>,
    y: Grid<3>,
}

impl Numbers {
    /// The `h` that step `s` of a direction starts with, of sequence `b`.
    fn before(&self, direction: usize, s: usize, b: usize, j: usize) -> Result<f64, OpError> {
        match s.checked_sub(1) {
            None => self.h.at([direction, b, j]),
            Some(s) => self.y.at([self.d.step(direction, s), b, direction * self.d.hidden + j]),
        }
    }

    fn forward(&self, direction: usize) -> Result<Forward, OpError> {
        let d = self.d;
        let states = [d.seq, d.batch, d.hidden];
        let mut gates = Grid::zeros([d.seq, d.batch, 4, d.hidden])?;
        let (mut before, mut after) = (Grid::zeros(states)?, Grid::zeros(states)?);
        each(states, |[s, b, j]| {
            let at = d.step(direction, s);
            for gate in 0..4 {
                let row = [direction, gate * d.hidden + j];
                let mut sum = dot(&self.w.x, row, &self.x, [at, b])? + self.w.bias.at(row)?;
                for k in 0..d.hidden {
                    sum += self.w.h.at([direction, gate * d.hidden + j, k])? * self.before(direction, s, b, k)?;
                }
                *gates.at_mut([s, b, gate, j])? = if gate == 2 { sum.tanh() } else { sigmoid(sum) };
            }
            let [i, f, g] = [0, 1, 2].map(|gate| gates.at([s, b, gate, j]));
            let c = if s == 0 { self.c.at([direction, b, j])? } else { after.at([s - 1, b, j])? };
            *before.at_mut([s, b, j])? = c;
            *after.at_mut([s, b, j])? = f? * c + i? * g?;
            Ok(())
        })?;
        Ok(Forward { gates, before, after })
    }
}

impl LSTMGrad {
    fn numbers(&self) -> Result<Numbers, OpError> {
        let d = self.dims()?;
        let w = Weights::new(d, &self.w.f64s()?)?;
        let [x, h, c, y] = [&self.x, &self.hx, &self.cx, &self.y].map(Grid::read);
        Ok(Numbers { d, x: x?, w, h: h?, c: c?, y: y? })
    }
}

impl Rule for LSTMGrad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.dims()?;
        Ok([&self.x, &self.hx, &self.cx, &self.w].map(|x| Fact::clone(&x.fact)).to_vec())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let n = self.numbers()?;
        let d = n.d;
        let (dy, mut dh, mut dc) = (Grid::read(&self.dy)?, Grid::read(&self.dhy)?, Grid::read(&self.dcy)?);
        let (mut dx, mut dw) = (Grid::zeros(n.x.dims)?, Grid::zeros([d.offsets(0)[3]])?);
        for direction in 0..d.directions {
            let forward = n.forward(direction)?;
            let [wx, wh, bias, _] = d.offsets(direction);
            for s in (0..d.seq).rev() {
                let at = d.step(direction, s);
                let mut back = Grid::zeros([d.batch, d.hidden])?;
                each([d.batch, d.hidden], |[b, j]| {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| forward.gates.at([s, b, gate, j]));
                    let (i, f, g, o) = (i?, f?, g?, o?);
                    let (before, squashed) = (forward.before.at([s, b, j])?, forward.after.at([s, b, j])?.tanh());
                    let h = dh.at([direction, b, j])? + dy.at([at, b, direction * d.hidden + j])?;
                    let place = dc.at_mut([direction, b, j])?;
                    let c = *place + h * o * (1.0 - squashed * squashed);
                    *place = c * f;
                    let gates = [
                        c * g * i * (1.0 - i),
                        c * before * f * (1.0 - f),
                        c * i * (1.0 - g * g),
                        h * squashed * o * (1.0 - o),
                    ];
                    for (gate, grad) in gates.into_iter().enumerate() {
                        let row = gate * d.hidden + j;
                        for k in 0..d.input {
                            *dx.at_mut([at, b, k])? += grad * n.w.x.at([direction, row, k])?;
                            *dw.at_mut([wx + row * d.input + k])? += grad * n.x.at([at, b, k])?;
                        }
                        for k in 0..d.hidden {
                            *back.at_mut([b, k])? += grad * n.w.h.at([direction, row, k])?;
                            *dw.at_mut([wh + row * d.hidden + k])? += grad * n.before(direction, s, b, k)?;
                        }
                        if d.bias {
                            *dw.at_mut([bias + row])? += grad;
                        }
                    }
                    Ok(())
                })?;
                each([d.batch, d.hidden], |[b, j]| {
                    *dh.at_mut([direction, b, j])? = back.at([b, j])?;
                    Ok(())
                })?;
            }
        }
        let dtype = self.x.dtype();
        let dw = dw.tensor(dtype)?.reshape(self.w.shape())?;
        Ok(vec![dx.tensor(dtype)?, dh.tensor(dtype)?, dc.tensor(dtype)?, dw])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = self.dims()?;
        if d.seq == 0 || d.seq > STEPS || d.batch == 0 || d.input == 0 {
            return Ok(None);
        }
        let (mut dx, mut dh, mut dc, mut dw) = (None, Vec::new(), Vec::new(), [const { Vec::new() }; 3]);
        for direction in 0..d.directions {
            let way = Way::new(self, b, d, direction)?;
            let [x, h, c, weights @ ..] = way.lower(b)?;
            dx = Some(match dx {
                Some(sum) => b.binary(Binary::Add, sum, x)?,
                None => x,
            });
            dh.push(b.reshape(h, &[1, d.batch, d.hidden])?);
            dc.push(b.reshape(c, &[1, d.batch, d.hidden])?);
            for (parts, part) in dw.iter_mut().zip(weights) {
                let count = b.fact(part).count();
                parts.push(b.reshape(part, &[count])?);
            }
        }
        let [wx, wh, bias] = dw;
        let parts = [wx, wh, if d.bias { bias } else { Vec::new() }].concat();
        let dw = b.concat(&parts, 0)?;
        let all = [dx.unwrap_or(self.x.v), b.concat(&dh, 0)?, b.concat(&dc, 0)?, b.reshape(dw, self.w.shape())?];
        Ok(Some(all.map(|v| b.cast(v, self.x.dtype())).to_vec()))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let one = |[seq, batch, input, hidden]: [usize; 4], bias, two, name| {
            let d = if two { 2 } else { 1 };
            let n = d * 4 * hidden * (input + hidden + usize::from(bias));
            let (all, state) = ([seq, batch, d * hidden], [d, batch, hidden]);
            let s = sample().tensor(DType::F32, &[seq, batch, input]).tensor(DType::F32, &state);
            let s = s.tensor(DType::F32, &state).tensor(DType::F32, &[n, 1, 1]).tensor(DType::F32, &all);
            let s = s.tensor(DType::F32, &state).tensor(DType::F32, &state).tensor(DType::F32, &all);
            let s = s.tensor(DType::F32, &state).tensor(DType::F32, &state).tensor(DType::F32, &[1, 1]);
            s.int(input as i64).int(hidden as i64).int(1).flag(bias).flag(two).real(0.0).int(0).case(name)
        };
        vec![
            one([5, 2, 3, 4], true, false, "forwards"),
            one([3, 1, 4, 2], false, false, "without bias"),
            one([4, 2, 3, 2], true, true, "both directions"),
            one([1, 2, 2, 3], true, false, "one step"),
        ]
    }
}

/// One direction as tasks.
struct Way {
    d: Dims,
    direction: usize,
    dtype: DType,
    /// `[seq, batch, input]`, and what every step starts with and gets, `[seq, batch, hidden]`.
    x: V,
    before: V,
    dy: V,
    /// `[4 · hidden, input]`, `[4 · hidden, hidden]`, `[4 · hidden]`.
    wx: V,
    wh: V,
    bias: Option<V>,
    /// `[batch, hidden]`.
    c: V,
    dh: V,
    dc: V,
}

impl Way {
    fn new(op: &LSTMGrad, b: &mut Lowering, d: Dims, direction: usize) -> Result<Way, OpError> {
        let dtype = DType::promote(op.x.dtype(), DType::F32);
        let [wx, wh, bias, _] = d.offsets(direction);
        let w = b.reshape(op.w.v, &[op.w.count()])?;
        let w = b.cast(w, dtype);
        let weights = |b: &mut Lowering, offset: usize, dims: &[usize]| {
            let part = b.slice(w, &[offset], &[dims.iter().product()], &[1])?;
            b.reshape(part, dims)
        };
        let rows = 4 * d.hidden;
        let (wx, wh) = (weights(b, wx, &[rows, d.input])?, weights(b, wh, &[rows, d.hidden])?);
        let bias = if d.bias { Some(weights(b, bias, &[rows])?) } else { None };
        let state = |b: &mut Lowering, x: &Operand| {
            let own = b.slice(x.v, &[direction, 0, 0], &[1, d.batch, d.hidden], &[1; 3])?;
            Ok::<_, OpError>(b.cast(own, dtype))
        };
        let (h, c, dh, dc) = (state(b, &op.hx)?, state(b, &op.cx)?, state(b, &op.dhy)?, state(b, &op.dcy)?);
        let own = |b: &mut Lowering, x: &Operand| {
            let own = b.slice(x.v, &[0, 0, direction * d.hidden], &[d.seq, d.batch, d.hidden], &[1; 3])?;
            Ok::<_, OpError>(b.cast(own, dtype))
        };
        let (y, dy) = (own(b, &op.y)?, own(b, &op.dy)?);
        let kept = [d.seq - 1, d.batch, d.hidden];
        let before = match (d.seq, direction) {
            (1, _) => h,
            (_, 0) => {
                let y = b.slice(y, &[0; 3], &kept, &[1; 3])?;
                b.concat(&[h, y], 0)?
            }
            _ => {
                let y = b.slice(y, &[1, 0, 0], &kept, &[1; 3])?;
                b.concat(&[y, h], 0)?
            }
        };
        let [c, dh, dc] = [c, dh, dc].map(|s| b.reshape(s, &[d.batch, d.hidden]));
        let x = b.cast(op.x.v, dtype);
        Ok(Way { d, direction, dtype, x, before, dy, wx, wh, bias, c: c?, dh: dh?, dc: dc? })
    }

    /// A program over values of one shape.
    fn map<const N: usize>(
        &self,
        b: &mut Lowering,
        ins: [V; N],
        program: impl FnOnce(&mut Program, [Reg; N]) -> Reg,
    ) -> Result<V, OpError> {
        let mut p = Program::new();
        let regs = std::array::from_fn(|i| p.input(i, self.dtype));
        program(&mut p, regs);
        b.elementwise(p, &ins, &ins)
    }

    /// The values of the step at place `at` of the sequence.
    fn at(&self, b: &mut Lowering, all: V, at: usize) -> Result<V, OpError> {
        let [_, inner @ ..] = b.fact(all).shape.as_slice() else { return Ok(all) };
        let inner = inner.to_vec();
        let (begin, size) = ([vec![at], vec![0; inner.len()]].concat(), [vec![1], inner.clone()].concat());
        let own = b.slice(all, &begin, &size, &vec![1; size.len()])?;
        b.reshape(own, &inner)
    }

    /// Values of all steps, which are given in their order, as one tensor in the order of the sequence.
    fn joined(&self, b: &mut Lowering, mut steps: Vec<V>) -> Result<V, OpError> {
        if self.direction == 1 {
            steps.reverse();
        }
        let mut rows = Vec::with_capacity(steps.len());
        for v in steps {
            let dims = b.fact(v).shape.clone();
            rows.push(b.reshape(v, &[&[1], dims.as_slice()].concat())?);
        }
        b.concat(&rows, 0)
    }

    /// The gates of all steps, activated: input, forget, cell, output.
    fn gates(&self, b: &mut Lowering) -> Result<[V; 4], OpError> {
        let d = self.d;
        let (from_x, from_h) = (b.matmul(self.x, self.wx, false, true)?, b.matmul(self.before, self.wh, false, true)?);
        let mut sums = b.binary(Binary::Add, from_x, from_h)?;
        if let Some(bias) = self.bias {
            sums = b.binary(Binary::Add, sums, bias)?;
        }
        let mut gate = |gate: usize| {
            let own = b.slice(sums, &[0, 0, gate * d.hidden], &[d.seq, d.batch, d.hidden], &[1; 3])?;
            Ok::<_, OpError>(b.unary(if gate == 2 { Unary::Tanh } else { Unary::Sigmoid }, own))
        };
        Ok([gate(0)?, gate(1)?, gate(2)?, gate(3)?])
    }

    /// Every `c` before and after its step.
    fn cells(&self, b: &mut Lowering, [i, f, g, _]: [V; 4]) -> Result<[V; 2], OpError> {
        let (mut before, mut after, mut c) = (Vec::new(), Vec::new(), self.c);
        let new = self.map(b, [i, g], |p, [i, g]| p.binary(Binary::Mul, i, g))?;
        for at in (0..self.d.seq).map(|s| self.d.step(self.direction, s)) {
            let (f, new) = (self.at(b, f, at)?, self.at(b, new, at)?);
            before.push(c);
            c = self.map(b, [f, c, new], |p, [f, c, new]| {
                let kept = p.binary(Binary::Mul, f, c);
                p.binary(Binary::Add, kept, new)
            })?;
            after.push(c);
        }
        Ok([self.joined(b, before)?, self.joined(b, after)?])
    }

    /// What the gradients of `c` and `h` are multiplied by: to give those of the four gates, and that of `h` to add to that of `c`.
    fn slopes(&self, b: &mut Lowering, [i, f, g, o]: [V; 4], [before, after]: [V; 2]) -> Result<([V; 4], V), OpError> {
        // x · y · (1 − y)
        let of_sigmoid = |p: &mut Program, [x, y]: [Reg; 2]| {
            let one = p.constant(1.0, self.dtype);
            let (rest, scale) = (p.binary(Binary::Sub, one, y), p.binary(Binary::Mul, x, y));
            p.binary(Binary::Mul, scale, rest)
        };
        // x · (1 − y²)
        let of_tanh = |p: &mut Program, [x, y]: [Reg; 2]| {
            let (one, square) = (p.constant(1.0, self.dtype), p.unary(Unary::Square, y));
            let rest = p.binary(Binary::Sub, one, square);
            p.binary(Binary::Mul, x, rest)
        };
        let squashed = b.unary(Unary::Tanh, after);
        let gates = [
            self.map(b, [g, i], of_sigmoid)?,
            self.map(b, [before, f], of_sigmoid)?,
            self.map(b, [i, g], of_tanh)?,
            self.map(b, [squashed, o], of_sigmoid)?,
        ];
        Ok((gates, self.map(b, [o, squashed], of_tanh)?))
    }

    /// The gradients of `x`, of the first `h` and `c`, and of the weights and the bias.
    fn lower(&self, b: &mut Lowering) -> Result<[V; 6], OpError> {
        let d = self.d;
        let gates = self.gates(b)?;
        let cells = self.cells(b, gates)?;
        let (slopes, of_h) = self.slopes(b, gates, cells)?;
        let (mut dh, mut dc, mut steps) = (self.dh, self.dc, Vec::new());
        for at in (0..d.seq).rev().map(|s| d.step(self.direction, s)) {
            let (dy, forget, scale) = (self.at(b, self.dy, at)?, self.at(b, gates[1], at)?, self.at(b, of_h, at)?);
            dh = b.binary(Binary::Add, dh, dy)?;
            dc = self.map(b, [dc, dh, scale], |p, [dc, dh, scale]| {
                let more = p.binary(Binary::Mul, dh, scale);
                p.binary(Binary::Add, dc, more)
            })?;
            let mut parts = Vec::new();
            for (slope, grad) in slopes.into_iter().zip([dc, dc, dc, dh]) {
                let slope = self.at(b, slope, at)?;
                parts.push(b.binary(Binary::Mul, slope, grad)?);
            }
            let step = b.concat(&parts, 1)?;
            steps.push(step);
            dh = b.matmul(step, self.wh, false, false)?;
            dc = b.binary(Binary::Mul, dc, forget)?;
        }
        // The last step is the first here.
        steps.reverse();
        let all = self.joined(b, steps)?;
        let places = d.seq * d.batch;
        let all = b.reshape(all, &[places, 4 * d.hidden])?;
        let (x, before) = (b.reshape(self.x, &[places, d.input])?, b.reshape(self.before, &[places, d.hidden])?);
        let dx = b.matmul(all, self.wx, false, false)?;
        let dx = b.reshape(dx, &[d.seq, d.batch, d.input])?;
        let bias = b.reduce(ReduceKind::Sum, all, &[0], false, self.dtype)?;
        Ok([dx, dh, dc, b.matmul(all, x, true, false)?, b.matmul(all, before, true, false)?, bias])
    }
}
