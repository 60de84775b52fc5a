//! Steps of recurrent layers: for each sequence a small product and the gates, without leaving the kernel between steps.

use std::ops::Range;

use mindir_graph::task::{Cell, Recurrent, Squash, Task};
use mindir_graph::{DType, checked_count};

use super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::packed::{Constants, Packed};
use super::simd::{Kernel, Simd, load_part, math, store_part};
use super::{Gang, Isa, Request, Shared};
use crate::device::{Refused, TaskView};

/// Multiplications that a thread does before it lets others know how far it is.
const BLOCK: usize = 1 << 20;
/// Steps of fewer multiplications are not divided.
const WIDE: usize = 1 << 17;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Recurrent> {
    let Task::Recurrent(t) = view.task else { return None };
    let (state, rows) = ([t.batch, t.hidden], t.cell.gates().checked_mul(t.hidden)?);
    let (lstm, ordered) = match t.cell {
        Cell::Lstm { order, .. } => (true, (0..4).all(|g| order.contains(&g))),
        _ => (false, true),
    };
    let fourth: &[usize] = if lstm { &state } else { &state[1..] };
    let ins = [&[t.seq, t.batch, rows][..], &[rows, t.hidden], &state, fourth];
    let outs = [&[t.seq, t.batch, t.hidden][..], &state, &state];
    let (ins, outs) = (&ins[..t.operands()], &outs[..if lstm { 3 } else { 2 }]);
    let holds = |facts: &[mindir_graph::Fact], dims: &[&[usize]]| {
        let same = |(f, d): (&mindir_graph::Fact, &&[usize])| {
            f.dtype == DType::F32 && checked_count(d).is_some_and(|n| n == f.count())
        };
        facts.len() == dims.len() && facts.iter().zip(dims).all(same)
    };
    (t.dtype == DType::F32 && ordered && holds(view.ins, ins) && holds(view.outs, outs)).then_some(t)
}

/// Gates whose products with the state are computed together, one group after the other.
fn groups(cell: Cell) -> Vec<Vec<usize>> {
    match cell {
        Cell::Plain(_) => vec![vec![0]],
        Cell::Gru { inner: true, .. } => vec![vec![0, 1, 2]],
        Cell::Gru { inner: false, .. } => vec![vec![0, 1], vec![2]],
        Cell::Lstm { order, .. } => vec![order.to_vec()],
    }
}

/// How many vectors of each gate a panel holds.
const fn vectors(gates: usize) -> usize {
    if gates == 1 { 4 } else { 2 }
}

/// The weights of a group in panels: for some elements of the state after the step, and each before it, one of every gate.
#[derive(Clone, Debug)]
struct Group {
    gates: Vec<usize>,
    /// Elements of the state that a panel computes.
    units: usize,
    /// Number of panels.
    panels: usize,
    /// Length of a panel.
    len: usize,
    /// Where the panels start.
    first: usize,
}

impl Group {
    fn all(t: &Recurrent, lanes: usize) -> Vec<Group> {
        let mut first = 0;
        let group = |gates: Vec<usize>| {
            let units = vectors(gates.len()) * lanes;
            let (panels, len) = (t.hidden.div_ceil(units), t.hidden * gates.len() * units);
            let group = Group { gates, units, panels, len, first };
            first += panels * len;
            group
        };
        groups(t.cell).into_iter().map(group).collect()
    }

    fn pack(&self, r: &[f32], hidden: usize, to: &mut [f32]) {
        let mut to = to[self.first..][..self.panels * self.len].iter_mut();
        for panel in 0..self.panels {
            for k in 0..hidden {
                for gate in &self.gates {
                    for (unit, to) in (panel * self.units..(panel + 1) * self.units).zip(&mut to) {
                        *to = if unit < hidden { r[(gate * hidden + unit) * hidden + k] } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// The kernel of a recurrent layer.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let (isa, task) = (request.isa, task(&request.view)?.clone());
    let groups = Group::all(&task, isa.lanes());
    let len = groups.iter().map(|g| g.panels * g.len).sum();
    let packed = Packed::of(request.view.known[1]);
    Some(Box::new(Steps { name: format!("{isa}-f32-steps"), isa, task, groups, len, packed }))
}

struct Steps {
    name: String,
    isa: Isa,
    task: Recurrent,
    groups: Vec<Group>,
    /// Length of all panels.
    len: usize,
    packed: Packed,
}

impl Steps {
    /// Elements between the groups of a step: the update gate and the state after the reset.
    fn between(&self) -> usize {
        if self.groups.len() > 1 { 2 * self.task.batch * self.task.hidden } else { 0 }
    }
}

impl CpuKernel for Steps {
    fn name(&self) -> &str {
        &self.name
    }

    fn scratch(&self) -> usize {
        scratch_bytes::<f32>(&[self.between(), self.packed.scratch(self.len)])
    }

    fn pack(&mut self, constants: &mut Constants<'_>) -> Result<(), Refused> {
        let Some(r) = constants.known.get(1).and_then(Option::as_ref) else { return Ok(()) };
        let (hidden, groups, len) = (self.task.hidden, &self.groups, self.len);
        let layout = format!("recurrent {} {hidden} {groups:?}", self.isa.lanes());
        self.packed = Packed::Made(constants.pack(r, &layout, &[], len, |r, _, to, _| {
            groups.iter().for_each(|g| g.pack(r, hidden, to));
        })?);
        Ok(())
    }

    fn reads(&self, i: usize) -> bool {
        i != 1 || matches!(self.packed, Packed::Each)
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let t = &self.task;
        let (x, h) = (io.operand::<f32>(0)?, io.operand::<f32>(2)?);
        let more = if t.operands() > 3 { io.operand::<f32>(3)? } else { &[] };
        let between = io.scratch::<f32>(self.between())?;
        let panels: &[f32] = match self.packed.made()? {
            Some(packed) => packed,
            None => {
                let (r, to) = (io.operand::<f32>(1)?, io.scratch::<f32>(self.len)?);
                self.groups.iter().for_each(|g| g.pack(r, t.hidden, to));
                to
            }
        };
        let (y, last) = (io.result::<f32>(0)?, io.result::<f32>(1)?);
        let c = if matches!(t.cell, Cell::Lstm { .. }) { io.result::<f32>(2)? } else { &mut [] };
        c.copy_from_slice(&more[..c.len()]);
        let work = Work {
            t,
            groups: &self.groups,
            panels,
            x,
            h,
            bias: more,
            y: Shared::new(y.as_mut_ptr()),
            c: Shared::new(c.as_mut_ptr()),
            between: Shared::new(between.as_mut_ptr()),
        };
        if !h.is_empty() {
            self.steps(&work, gang);
        }
        match t.seq.checked_sub(1) {
            Some(step) => last.copy_from_slice(&y[t.position(step) * last.len()..][..last.len()]),
            None => last.copy_from_slice(h),
        }
        Ok(())
    }
}

impl Steps {
    /// All steps: each thread takes sequences of its own, or elements of the state if there are too few. A state is computed
    /// in the same way either way.
    fn steps(&self, work: &Work<'_>, gang: &mut Gang) {
        let Recurrent { seq, batch, hidden, .. } = self.task;
        let each = self.task.cell.gates() * hidden * hidden;
        let threads = gang.threads();
        if batch < threads && batch * each >= WIDE {
            for step in 0..seq {
                for (g, group) in self.groups.iter().enumerate() {
                    let some = group.panels.div_ceil(threads);
                    gang.parallel(group.panels.div_ceil(some), |chunk, _| {
                        let panels = chunk * some..group.panels.min((chunk + 1) * some);
                        self.isa.run(Part { work, step, group: g, sequences: 0..batch, panels });
                    });
                }
            }
            return;
        }
        let some = if batch * seq * each < WIDE { batch } else { batch.div_ceil(threads) };
        let block = (BLOCK / (some * each)).max(1);
        for first in (0..seq).step_by(block) {
            gang.parallel(batch.div_ceil(some), |chunk, _| {
                let sequences = chunk * some..batch.min((chunk + 1) * some);
                self.isa.run(Whole { work, steps: first..seq.min(first + block), sequences });
            });
        }
    }
}

/// What all threads see of a run.
struct Work<'a> {
    t: &'a Recurrent,
    groups: &'a [Group],
    panels: &'a [f32],
    x: &'a [f32],
    h: &'a [f32],
    bias: &'a [f32],
    y: Shared<f32>,
    c: Shared<f32>,
    between: Shared<f32>,
}

/// Some steps of some sequences.
struct Whole<'a> {
    work: &'a Work<'a>,
    steps: Range<usize>,
    sequences: Range<usize>,
}

impl Kernel for Whole<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for step in self.steps {
            for (group, g) in self.work.groups.iter().enumerate() {
                let sequences = self.sequences.clone();
                Part { work: self.work, step, group, sequences, panels: 0..g.panels }.run(s);
            }
        }
    }
}

/// Some elements of the state of some sequences after a step, as far as a group computes them.
struct Part<'a> {
    work: &'a Work<'a>,
    step: usize,
    group: usize,
    sequences: Range<usize>,
    panels: Range<usize>,
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let group = &self.work.groups[self.group];
        for panel in self.panels.clone() {
            let weights = &self.work.panels[group.first + panel * group.len..][..group.len];
            for b in self.sequences.clone() {
                let place = Place::new(self.work, self.step, b, panel * group.units);
                match (self.work.t.cell, self.group) {
                    (Cell::Plain(f), _) => place.plain(s, weights, f),
                    (Cell::Gru { squash, inner: true }, _) => place.gru(s, weights, squash),
                    (Cell::Gru { squash, inner: false }, 0) => place.reset(s, weights, squash[0]),
                    (Cell::Gru { squash, inner: false }, _) => place.renew(s, weights, squash[1]),
                    (Cell::Lstm { squash, order }, _) => place.lstm(s, weights, squash, order),
                }
            }
        }
    }
}

#[inline(always)]
fn squash<S: Simd, const N: usize>(s: S, f: Squash, v: [S::F; N]) -> [S::F; N] {
    macro_rules! each {
        ($x:ident => $f:expr) => {{
            let mut v = v;
            for x in &mut v {
                let $x = *x;
                *x = $f;
            }
            v
        }};
    }
    match f {
        Squash::Sigmoid => each!(x => math::sigmoid(s, x)),
        Squash::Tanh => each!(x => math::tanh(s, x)),
        Squash::Relu => each!(x => s.max(s.zero(), x)),
        Squash::Softsign => each!(x => s.div(x, s.add(s.splat(1.0), s.abs(x)))),
        Squash::Softplus => each!(x => math::softplus(s, x)),
    }
}

/// The state of sequence `b` after a step, from element `unit` on.
struct Place<'a> {
    work: &'a Work<'a>,
    b: usize,
    unit: usize,
    /// What came from the input, for all gates.
    x: &'a [f32],
    /// The state before the step.
    h: *const f32,
    /// Where the state after the step starts.
    y: usize,
}

impl<'a> Place<'a> {
    #[inline(always)]
    fn new(work: &'a Work<'a>, step: usize, b: usize, unit: usize) -> Place<'a> {
        let (t, n) = (work.t, work.t.hidden);
        let row = |step: usize| t.position(step) * t.batch + b;
        let rows = t.cell.gates() * n;
        let h = match step.checked_sub(1) {
            Some(before) => work.y.at(row(before) * n).cast_const(),
            None => work.h[b * n..].as_ptr(),
        };
        Place { work, b, unit, x: &work.x[row(step) * rows..][..rows], h, y: row(step) * n }
    }

    /// The products of `v` with the gates of a panel.
    #[inline(always)]
    fn products<S: Simd, const G: usize, const U: usize>(
        &self,
        s: S,
        weights: &[f32],
        v: *const f32,
    ) -> [[S::F; U]; G] {
        const { assert!(U == vectors(G)) };
        let mut sums = [[s.zero(); U]; G];
        for (k, weights) in weights.chunks_exact(G * U * S::LANES).enumerate() {
            // SAFETY: `v` is a state: it holds an element for every row of the panel, and nobody writes it meanwhile.
            let v = s.splat(unsafe { *v.add(k) });
            for (g, sums) in sums.iter_mut().enumerate() {
                for (u, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(s.get(weights, (g * U + u) * S::LANES), v, *sum);
                }
            }
        }
        sums
    }

    /// The first element of the state in vector `u` of the panel, and how many there are from it on.
    #[inline(always)]
    fn parts<S: Simd>(&self, u: usize) -> (usize, usize) {
        let at = self.unit + u * S::LANES;
        (at, self.work.t.hidden.saturating_sub(at))
    }

    /// What came from the input for `gate`.
    #[inline(always)]
    fn sum_of_x<S: Simd>(&self, s: S, gate: usize, at: usize, left: usize) -> S::F {
        // SAFETY: `x` holds `hidden` elements for each gate, of which `left` come from `at` on.
        unsafe { load_part(s, self.x.as_ptr().add(gate * self.work.t.hidden + at), left) }
    }

    /// Elements of the state before the step.
    #[inline(always)]
    fn before<S: Simd>(&self, s: S, at: usize, left: usize) -> S::F {
        // SAFETY: the state holds `left` elements from `at` on; nobody writes it any more.
        unsafe { load_part(s, self.h.add(at), left) }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, s: S, at: usize, left: usize, v: S::F) {
        // SAFETY: the elements lie inside the result, and only this call computes them.
        unsafe { store_part(s, self.work.y.at(self.y + at), v, left) };
    }

    #[inline(always)]
    fn plain<S: Simd>(&self, s: S, weights: &[f32], f: Squash) {
        let [sums] = self.products::<S, 1, 4>(s, weights, self.h);
        for (u, &sum) in sums.iter().enumerate() {
            let (at, left) = self.parts::<S>(u);
            if left == 0 {
                break;
            }
            let [h] = squash(s, f, [s.add(self.sum_of_x(s, 0, at, left), sum)]);
            self.store(s, at, left, h);
        }
    }

    #[inline(always)]
    fn gru<S: Simd>(&self, s: S, weights: &[f32], [f, g]: [Squash; 2]) {
        let [z, r, new] = self.products::<S, 3, 2>(s, weights, self.h);
        for u in 0..2 {
            let (at, left) = self.parts::<S>(u);
            if left == 0 {
                break;
            }
            let sums = [s.add(self.sum_of_x(s, 0, at, left), z[u]), s.add(self.sum_of_x(s, 1, at, left), r[u])];
            let [z, r] = squash(s, f, sums);
            // SAFETY: the bias holds `left` elements from `at` on.
            let bias = unsafe { load_part(s, self.work.bias.as_ptr().add(at), left) };
            let reset = s.mul(r, s.add(new[u], bias));
            let [new] = squash(s, g, [s.add(self.sum_of_x(s, 2, at, left), reset)]);
            let kept = s.mul(z, s.sub(self.before(s, at, left), new));
            self.store(s, at, left, s.add(new, kept));
        }
    }

    /// Where the update gates and the states after the reset of this sequence start between two groups.
    #[inline(always)]
    fn between(&self) -> [usize; 2] {
        let n = self.work.t.hidden;
        [self.b * n, (self.work.t.batch + self.b) * n]
    }

    #[inline(always)]
    fn reset<S: Simd>(&self, s: S, weights: &[f32], f: Squash) {
        let ([z, r], [update, state]) = (self.products::<S, 2, 2>(s, weights, self.h), self.between());
        for u in 0..2 {
            let (at, left) = self.parts::<S>(u);
            if left == 0 {
                break;
            }
            let sums = [s.add(self.sum_of_x(s, 0, at, left), z[u]), s.add(self.sum_of_x(s, 1, at, left), r[u])];
            let [z, r] = squash(s, f, sums);
            let reset = s.mul(r, self.before(s, at, left));
            // SAFETY: both lie inside of what is kept between the groups, and only this call computes them.
            unsafe {
                store_part(s, self.work.between.at(update + at), z, left);
                store_part(s, self.work.between.at(state + at), reset, left);
            }
        }
    }

    #[inline(always)]
    fn renew<S: Simd>(&self, s: S, weights: &[f32], g: Squash) {
        let [update, state] = self.between();
        let [sums] = self.products::<S, 1, 4>(s, weights, self.work.between.at(state));
        for (u, &sum) in sums.iter().enumerate() {
            let (at, left) = self.parts::<S>(u);
            if left == 0 {
                break;
            }
            // SAFETY: the group before has computed all update gates.
            let z = unsafe { load_part(s, self.work.between.at(update + at), left) };
            let [new] = squash(s, g, [s.add(self.sum_of_x(s, 2, at, left), sum)]);
            let kept = s.mul(z, s.sub(self.before(s, at, left), new));
            self.store(s, at, left, s.add(new, kept));
        }
    }

    #[inline(always)]
    fn lstm<S: Simd>(&self, s: S, weights: &[f32], [f, g, k]: [Squash; 3], order: [usize; 4]) {
        let sums = self.products::<S, 4, 2>(s, weights, self.h);
        let c = self.work.c.at(self.b * self.work.t.hidden);
        for u in 0..2 {
            let (at, left) = self.parts::<S>(u);
            if left == 0 {
                break;
            }
            let sum = |gate: usize| s.add(self.sum_of_x(s, order[gate], at, left), sums[gate][u]);
            let [i, forget, o] = squash(s, f, [sum(0), sum(1), sum(3)]);
            let [new] = squash(s, g, [sum(2)]);
            let c = c.wrapping_add(at);
            // SAFETY: `c` holds `left` elements from here on, which only this call reads and writes.
            let next = s.add(s.mul(forget, unsafe { load_part(s, c, left) }), s.mul(i, new));
            // SAFETY: as above.
            unsafe { store_part(s, c, next, left) };
            let [out] = squash(s, k, [next]);
            self.store(s, at, left, s.mul(o, out));
        }
    }
}

#[cfg(test)]
mod tests {
    use mindir_graph::Fact;

    use super::*;
    use crate::cpu::cases::{Bound, Case, check, tensor};

    fn cells() -> Vec<Cell> {
        use Squash::{Relu, Sigmoid, Softplus, Softsign, Tanh};
        let gru = |squash, inner| Cell::Gru { squash, inner };
        vec![
            Cell::Plain(Tanh),
            Cell::Plain(Relu),
            gru([Sigmoid, Tanh], false),
            gru([Sigmoid, Tanh], true),
            gru([Softsign, Softplus], false),
            Cell::Lstm { squash: [Sigmoid, Tanh, Tanh], order: [0, 1, 2, 3] },
            Cell::Lstm { squash: [Sigmoid, Softsign, Relu], order: [0, 2, 3, 1] },
        ]
    }

    #[test]
    fn steps_follow_each_other() {
        let bound = Bound { absolute: 2e-5, relative: 2e-5 };
        let mut cases = Vec::new();
        for [seq, batch, hidden] in [[0, 2, 3], [1, 1, 1], [5, 1, 8], [4, 3, 17], [3, 0, 4], [6, 2, 40], [2, 1, 212]] {
            for cell in cells() {
                for reverse in [false, true] {
                    let t = Recurrent { cell, seq, batch, hidden, reverse, dtype: DType::F32 };
                    let (rows, state) = (cell.gates() * hidden, [batch, hidden]);
                    let scale = 1.0 / (hidden as f64).sqrt();
                    let mut ins = vec![
                        tensor(1, DType::F32, &[seq, batch, rows], 1.0),
                        tensor(2, DType::F32, &[rows, hidden], scale),
                        tensor(3, DType::F32, &state, 1.0),
                    ];
                    let mut outs = vec![Fact::new(DType::F32, &[seq, batch, hidden]), Fact::new(DType::F32, &state)];
                    match cell {
                        Cell::Lstm { .. } => {
                            ins.push(tensor(4, DType::F32, &state, 1.0));
                            outs.push(Fact::new(DType::F32, &state));
                        }
                        Cell::Gru { inner: true, .. } => ins.push(tensor(4, DType::F32, &[hidden], 1.0)),
                        _ => {}
                    }
                    let name = format!("{cell:?} {seq} {batch} {hidden} reverse {reverse}");
                    cases.push(Case::new(name, Task::Recurrent(t), ins, outs, bound));
                }
            }
        }
        check(&cases);
    }
}
