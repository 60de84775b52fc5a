use bytemuck::Zeroable;
use mindir_graph::DType;
use mindir_graph::task::{Cell, Recurrent};
use mindir_shaders::copy::{self, Copy};
use mindir_shaders::recurrent::{Params, Phase, Round, RoundParams, Step};

use super::spread::spread;
use super::{Bound, Declined, GpuKernel, Launch, Target, counted, declined, fold, operand, result, small};
use crate::device::TaskView;

/// Most steps, each of which is a launch or two.
const STEPS: usize = 1 << 16;

pub(super) fn kernel(task: &Recurrent, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    checked(task, view)?;
    if task.seq > STEPS {
        return declined(format!("shaders take sequences of {STEPS} steps, not {}", task.seq));
    }
    let lines = counted(&[task.batch, task.hidden])?;
    let of = Of { task, lines, rows: counted(&[task.cell.gates(), task.hidden])?, on };
    let launches = match (lines, task.seq) {
        (0, _) => Vec::new(),
        (_, 0) => of.nothing()?,
        _ => of.steps()?,
    };
    Ok(GpuKernel { name: format!("{}-{}", task.dtype, task.cell.name().to_lowercase()), launches })
}

fn checked(task: &Recurrent, view: TaskView<'_>) -> Result<(), Declined> {
    let &Recurrent { cell, seq, batch, hidden, dtype, .. } = task;
    if !dtype.is_float() {
        return declined(format!("recurrent layers of {dtype}"));
    }
    if let Cell::Lstm { order, .. } = cell
        && !(0..4).all(|gate| order.contains(&gate))
    {
        return declined(format!("{order:?} is no order of four gates"));
    }
    let rows = counted(&[cell.gates(), hidden])?;
    operand(view, 0, dtype, &[seq, batch, rows])?;
    operand(view, 1, dtype, &[rows, hidden])?;
    operand(view, 2, dtype, &[batch, hidden])?;
    match cell {
        Cell::Lstm { .. } => operand(view, 3, dtype, &[batch, hidden])?,
        Cell::Gru { inner: true, .. } => operand(view, 3, dtype, &[hidden])?,
        _ => {}
    }
    result(view, 0, dtype, &[seq, batch, hidden])?;
    for i in 1..if matches!(cell, Cell::Lstm { .. }) { 3 } else { 2 } {
        result(view, i, dtype, &[batch, hidden])?;
    }
    Ok(())
}

struct Of<'a> {
    task: &'a Recurrent,
    /// Sequences times length of the state.
    lines: usize,
    rows: usize,
    on: &'a Target,
}

impl Of<'_> {
    fn is_lstm(&self) -> bool {
        matches!(self.task.cell, Cell::Lstm { .. })
    }

    fn is_half(&self) -> bool {
        matches!(self.task.dtype, DType::F16 | DType::BF16)
    }

    /// Where steps keep a result: those of 16 bits as `f32`, for which there may be no room where they lie.
    fn kept(&self, of: Bound) -> Bound {
        match of {
            Bound::Out(i) if self.is_half() => {
                let steps = if i == 0 { self.task.seq } else { 1 };
                Bound::Scratch(i, 4 * (steps * self.lines) as u64)
            }
            of => of,
        }
    }

    fn steps(&self) -> Result<Vec<Launch>, Declined> {
        let mut launches = Vec::new();
        let first = self.phases(true)?;
        let next = self.phases(false)?;
        for step in 0..self.task.seq {
            let params = bytemuck::bytes_of(&self.params(step)?).to_vec();
            let phases = if step == 0 { &first } else { &next };
            launches.extend(phases.iter().map(|launch| Launch { params: params.clone(), ..launch.clone() }));
        }
        let all = self.task.seq * self.lines;
        launches.extend(self.round(Bound::Out(0), all)?);
        if self.is_lstm() {
            launches.extend(self.round(Bound::Out(2), self.lines)?);
        }
        launches.push(self.copy(Bound::Out(0), self.task.position(self.task.seq - 1) * self.lines, Bound::Out(1))?);
        Ok(launches)
    }

    /// Without steps, the states stay what they were.
    fn nothing(&self) -> Result<Vec<Launch>, Declined> {
        let mut launches = vec![self.copy(Bound::In(2), 0, Bound::Out(1))?];
        if self.is_lstm() {
            launches.push(self.copy(Bound::In(3), 0, Bound::Out(2))?);
        }
        Ok(launches)
    }

    /// The launches of a step, but for its parameters.
    fn phases(&self, first: bool) -> Result<Vec<Launch>, Declined> {
        let cell = self.task.cell;
        let launch = |phase: Phase| {
            let mut bound = vec![Bound::In(0), Bound::In(1), Bound::In(2), self.kept(Bound::Out(0))];
            match cell {
                Cell::Plain(_) => {}
                Cell::Gru { inner: true, .. } => bound.push(Bound::In(3)),
                // The last state is not yet there.
                Cell::Gru { .. } => bound.push(self.kept(Bound::Out(1))),
                Cell::Lstm { .. } => bound.extend([Bound::In(3), self.kept(Bound::Out(2))]),
            }
            let shader = Step { cell, first, phase, dtype: self.task.dtype };
            self.on.launch(&shader, &Params::zeroed(), bound, fold(self.lines, self.on))
        };
        let all = launch(Phase::All)?;
        match cell {
            Cell::Gru { inner: false, .. } => Ok(vec![launch(Phase::Reset)?, all]),
            _ => Ok(vec![all]),
        }
    }

    fn params(&self, step: usize) -> Result<Params, Declined> {
        let at = |step: usize| self.task.position(step);
        Ok(Params {
            lines: small(self.lines)?,
            hidden: small(self.task.hidden)?,
            rows: small(self.rows)?,
            x_first: small(counted(&[at(step), self.task.batch, self.rows])?)?,
            h_first: small(at(step.saturating_sub(1)) * self.lines)?,
            y_first: small(at(step) * self.lines)?,
        })
    }

    /// Rounds a result that steps have kept as `f32`.
    fn round(&self, of: Bound, count: usize) -> Result<Option<Launch>, Declined> {
        if !self.is_half() {
            return Ok(None);
        }
        let (width, grid) = spread(1, count, self.on);
        let params = RoundParams { rows: 1, cols: small(count)? };
        self.on.launch(&Round { dtype: self.task.dtype, width }, &params, vec![self.kept(of), of], grid).map(Some)
    }

    /// Copies a state.
    fn copy(&self, from: Bound, first: usize, to: Bound) -> Result<Launch, Declined> {
        let count = small(self.lines)?;
        let mut params = copy::Params { count, first_read: small(first)?, ..copy::Params::zeroed() };
        (params.dims[0], params.read[0], params.written[0]) = (count, 1, 1);
        let shader = Copy { rank: 1, dtype: self.task.dtype };
        self.on.launch(&shader, &params, vec![from, to], fold(self.lines.div_ceil(256), self.on))
    }
}
