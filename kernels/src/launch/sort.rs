use mindir_graph::DType;
use mindir_graph::task::Sort;
use mindir_shaders::sort::{
    BLOCK, Block, BlockParams, Elements, Exchange, ExchangeParams, Results, Select, SelectParams,
};

use super::spread::spread;
use super::{Bound, Declined, GpuKernel, Launch, Target, counted, declined, fold, operand, result, small};
use crate::device::TaskView;

pub(super) fn kernel(task: &Sort, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    let &Sort { outer, len, inner, k, descending, values, dtype, index, .. } = task;
    if !matches!(index, DType::I32 | DType::I64) || k > len {
        return declined(format!("{k} of {len} elements with positions of {index}"));
    }
    operand(view, 0, dtype, &[outer, len, inner])?;
    if values {
        result(view, 0, dtype, &[outer, k, inner])?;
    }
    result(view, usize::from(values), index, &[outer, k, inner])?;
    let of = Of {
        lines: counted(&[outer, inner])?,
        // To know whether equal elements are among those that are selected, there is one more.
        first: k + usize::from(task.selects()),
        of: Elements { dtype, descending },
        results: Results { values, index },
        task,
        on,
    };
    let launches = if counted(&[of.lines, k])? == 0 { Vec::new() } else { of.launches()? };
    Ok(GpuKernel { name: format!("{dtype}-sort-{}", if of.first <= BLOCK / 2 { "few" } else { "all" }), launches })
}

struct Of<'a> {
    lines: usize,
    /// Pairs that are wanted of a line.
    first: usize,
    of: Elements,
    results: Results,
    task: &'a Sort,
    on: &'a Target,
}

/// What blocks start with.
#[derive(Clone, Copy)]
enum Start {
    Elements,
    /// So many pairs of each line in one of two places; those of longer runs that are being joined.
    Pairs {
        len: usize,
        place: usize,
        merges: bool,
    },
}

impl Of<'_> {
    fn launches(&self) -> Result<Vec<Launch>, Declined> {
        let mut launches = Vec::new();
        let last = if self.first <= BLOCK / 2 { self.few(&mut launches)? } else { self.all(&mut launches)? };
        launches.push(self.block(last, BLOCK, self.first, !self.task.selects())?);
        if self.task.selects() {
            launches.push(self.select(if let Start::Pairs { place, .. } = last { 1 - place } else { 0 })?);
        }
        Ok(launches)
    }

    /// Keeps the first pairs of blocks until one block holds those of a line.
    fn few(&self, launches: &mut Vec<Launch>) -> Result<Start, Declined> {
        let (mut len, mut place, mut from) = (self.task.len, 0, Start::Elements);
        while len > BLOCK {
            let given = len / BLOCK * self.first + self.first.min(len % BLOCK);
            launches.push(self.block(from, self.first, given, false)?);
            from = Start::Pairs { len: given, place, merges: false };
            (len, place) = (given, 1 - place);
        }
        Ok(from)
    }

    /// Sorts blocks, and joins them in pairs but for the last launch.
    fn all(&self, launches: &mut Vec<Launch>) -> Result<Start, Declined> {
        let len = self.task.len;
        let (mut run, mut place, mut from) = (BLOCK, 0, Start::Elements);
        while run < len {
            launches.push(self.block(from, BLOCK, len, false)?);
            let mut step = run;
            while step >= BLOCK {
                launches.push(self.exchange(place, step, step == run)?);
                step /= 2;
            }
            from = Start::Pairs { len, place, merges: true };
            (run, place) = (2 * run, 1 - place);
        }
        Ok(from)
    }

    /// Keys and positions of `len` pairs of each line, in one of two places.
    fn pairs(&self, place: usize, len: usize) -> Result<[Bound; 2], Declined> {
        let key = self.of.dtype.size().max(4);
        let bytes = |each: usize| counted(&[self.lines, len, each]).map(|n| n as u64);
        Ok([Bound::Scratch(2 * place, bytes(key)?), Bound::Scratch(2 * place + 1, bytes(4)?)])
    }

    fn results(&self) -> Vec<Bound> {
        (0..1 + usize::from(self.results.values)).map(Bound::Out).collect()
    }

    /// Sorts blocks and gives the first `keep` of each, `given` of a line, as results or pairs.
    fn block(&self, from: Start, keep: usize, given: usize, ends: bool) -> Result<Launch, Declined> {
        let results = ends.then_some(self.results);
        let (len, pairs, merges) = match from {
            Start::Elements => (self.task.len, None, false),
            Start::Pairs { len, place, merges } => (len, Some(place), merges),
        };
        let mut bound = Vec::new();
        if pairs.is_none() || results.is_some_and(|r| r.values) {
            bound.push(Bound::In(0));
        }
        if let Some(place) = pairs {
            bound.extend(self.pairs(place, len)?);
        }
        match results {
            Some(_) => bound.extend(self.results()),
            None => bound.extend(self.pairs(pairs.map_or(0, |place| 1 - place), given)?),
        }
        let blocks = if keep < BLOCK { len.div_ceil(BLOCK) } else { given.div_ceil(BLOCK) };
        let params = BlockParams {
            lines: small(self.lines)?,
            axis: small(self.task.len)?,
            len: small(len)?,
            inner: small(self.task.inner)?,
            blocks: small(blocks)?,
            keep: small(keep)?,
            given: small(given)?,
            extent: small(len.min(BLOCK).next_power_of_two())?,
        };
        let shader = Block { of: self.of, pairs: pairs.is_some(), merges, results };
        self.on.launch(&shader, &params, bound, fold(counted(&[self.lines, blocks])?, self.on))
    }

    fn exchange(&self, place: usize, step: usize, mirrored: bool) -> Result<Launch, Declined> {
        let len = self.task.len;
        let cols = len.div_ceil(2 * step) * step;
        let (width, grid) = spread(self.lines, cols, self.on);
        let params = ExchangeParams {
            rows: small(self.lines)?,
            cols: small(cols)?,
            len: small(len)?,
            step: small(step)?,
            mirrored: mirrored.into(),
        };
        self.on.launch(&Exchange { dtype: self.of.dtype, width }, &params, self.pairs(place, len)?.into(), grid)
    }

    fn select(&self, place: usize) -> Result<Launch, Declined> {
        let &Sort { len, inner, k, .. } = self.task;
        let params = SelectParams {
            lines: small(self.lines)?,
            axis: small(len)?,
            inner: small(inner)?,
            given: small(k)?,
            rounds: 2 * len.ilog2(),
        };
        let mut bound = vec![Bound::In(0)];
        bound.extend(self.pairs(place, self.first)?);
        bound.push(Bound::Scratch(4, counted(&[self.lines, len, 8])? as u64));
        bound.extend(self.results());
        let shader = Select { of: self.of, results: self.results };
        self.on.launch(&shader, &params, bound, fold(self.lines, self.on))
    }
}
