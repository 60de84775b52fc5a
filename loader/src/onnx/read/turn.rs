//! Loops as graphs that call themselves, whoever says what a turn does.

use mindir_graph::graph::{Arg, Closure, GraphId};
use mindir_graph::{DType, Tensor};

use super::import::{Import, Step, Steps, Val, fits};
use super::ops::shape::{dims_of, join, length};
use super::types::{Length, Type};

/// A loop while its body is built, inside of [`begin`](Self::begin) and [`end`](Self::end).
///
/// It becomes a graph that chooses between one more turn, which ends with a jump back, and the end. Where it is not known how many
/// turns there are, the lists of results become twice as long when they are full, before the turn.
pub(super) struct Turn {
    header: GraphId,
    body: GraphId,
    /// Values outside: how many turns there are at most, whether there is a first, the state before it, what all turns read.
    trips: Val,
    cond: Val,
    start: Vec<Val>,
    around: Vec<Val>,
    /// What holds of the state before every turn.
    types: Vec<Type>,
    /// The number of the turn.
    pub index: Val,
    /// The state before the turn.
    pub state: Vec<Val>,
    /// What all turns read.
    pub fixed: Vec<Val>,
    /// Dimensions of the results that each turn adds, for a loop without turns; 0 for those that nobody knows.
    pub rows: Vec<Vec<i64>>,
}

impl Turn {
    pub fn begin(m: &mut Import, trips: Val, cond: Val, start: Vec<Val>, types: &[Type], around: Vec<Val>) -> Turn {
        let header = m.builder.begin("loop");
        let body = m.builder.begin("turn");
        let index = m.parameter(Type::new(DType::I64, Vec::new()));
        let state = types.iter().map(|ty| m.parameter(ty.clone())).collect();
        let fixed = m.enter(&around);
        Turn { header, body, trips, cond, start, around, types: types.to_vec(), index, state, fixed, rows: Vec::new() }
    }

    /// What holds of the state before and after a turn.
    pub fn after(&self, next: &[Val]) -> Result<Vec<Type>, String> {
        if next.len() != self.types.len() {
            return Err(format!("its body gives {} values of its state, expected {}", next.len(), self.types.len()));
        }
        let both = |(i, (ty, v)): (usize, (&Type, &Val))| {
            ty.either(&v.ty.ranked()).ok_or_else(|| format!("value {i} that the loop carries changes its element type"))
        };
        self.types.iter().zip(next).enumerate().map(both).collect()
    }

    /// Ends the graphs that [`begin`](Self::begin) began, unfinished.
    pub fn abandon(self, m: &mut Import) {
        m.end(&[]);
        m.end(&[]);
    }

    /// Ends the body: whether there is another turn, the state after this one, and the results that each turn adds.
    /// Gives the last state and the collected results.
    pub fn end(self, m: &mut Import, again: Val, next: Vec<Val>, rows: Vec<Val>) -> Steps {
        if self.after(&next)? != self.types {
            return Err("a value that the loop carries changes its rank".into());
        }
        let list = |(i, row): (usize, &Val)| self.list(&again, row, self.rows.get(i).map_or(&[], Vec::as_slice));
        let lists = rows.iter().enumerate().map(list).collect::<Result<Vec<_>, _>>()?;
        let types: Vec<Type> = self.types.iter().chain(lists.iter().map(|l| &l.ty)).cloned().collect();
        self.jump(m, again, next, &rows, &lists, &types)?;
        self.choose(m, &lists, &types)?;
        self.enter(m, &lists, &types)
    }

    /// How the rows of all turns are collected.
    fn list(&self, again: &Val, row: &Val, declared: &[i64]) -> Result<List, String> {
        let turns = self.trips.ints().ok().and_then(|t| t.first().copied()).map(|n| n.max(0));
        let always = [&self.cond, again].into_iter().all(|v| v.number() == Ok(1.0));
        let dims = row.dims().map_err(|_| "it collects results whose number of dimensions is not known")?;
        let whole = |first: Length| Type::new(row.dtype(), [first].iter().chain(dims).copied().collect::<Vec<_>>());
        let fixed = |n: i64| whole(Length::Fixed(n)).fact().filter(|_| always && n <= MOST_TURNS).map(|fact| (n, fact));
        if let Some((_, fact)) = turns.and_then(fixed) {
            fits(&fact)?;
            return Ok(List { ty: Type::from(&fact), places: Places::Fixed });
        }
        let each = dims.iter().map(|d| d.fixed()).collect::<Option<Vec<i64>>>();
        if let Some(each) = each.filter(|_| always && turns.is_none()) {
            return Ok(List { ty: whole(Length::Open), places: Places::Computed { turns: self.trips.clone(), each } });
        }
        let known = |(d, i): (&Length, usize)| d.fixed().or(declared.get(i).copied()).unwrap_or(0);
        let dims = dims.iter().zip(0..).map(known).collect();
        Ok(List { ty: whole(Length::Open).ranked(), places: Places::Grown { dims } })
    }

    /// The end of the body: back to the start with the next state, the collected results behind it.
    fn jump(
        &self,
        m: &mut Import,
        again: Val,
        next: Vec<Val>,
        rows: &[Val],
        lists: &[List],
        types: &[Type],
    ) -> Result<(), String> {
        let one = m.constant(Tensor::scalar(1i64));
        let following = m.op("Add", vec![(&self.index).into(), one.into()])?;
        let mut after = vec![following, again];
        after.extend(next);
        for (row, list) in rows.iter().zip(lists) {
            let so_far = m.parameter(list.ty.clone());
            after.push(list.with(m, so_far, &self.index, row)?);
        }
        let limit = m.enter_one(&self.trips);
        let mut args = m.args(&after);
        args.extend(m.passed(&self.fixed));
        args.extend(m.passed(&[limit]));
        let results = m.call(self.header, args, types);
        m.end(&results);
        Ok(())
    }

    /// The graph that the loop starts with: one more turn, or the end.
    fn choose(&self, m: &mut Import, lists: &[List], types: &[Type]) -> Result<(), String> {
        let index = m.parameter(self.index.ty.clone());
        let more = m.parameter(self.cond.ty.clone());
        let carried: Vec<Val> = types.iter().map(|ty| m.parameter(ty.clone())).collect();
        let fixed = m.enter(&self.around);
        let limit = m.enter_one(&self.trips);
        let within = m.op("Less", vec![(&index).into(), (&limit).into()])?;
        let cond = m.op("LogicalAnd", vec![within.into(), more.into()])?;
        let done = self.done(m, lists, types)?;
        let room = if lists.iter().any(List::grows) { self.room(m, lists, types)? } else { self.body };
        let mut after = carried.clone();
        after.push(index.clone());
        let (state, lists) = carried.split_at(self.state.len());
        let taken = Taken { index, state: state.to_vec(), fixed, lists: lists.to_vec(), limit };
        let then = Closure { graph: room, args: taken.args(m) };
        let otherwise = Closure { graph: done, args: m.args(&after) };
        let results = m.choose(&cond, then, otherwise, types);
        m.end(&results);
        Ok(())
    }

    /// The graph that takes what is carried and the number of turns, and gives the results of the loop.
    fn done(&self, m: &mut Import, lists: &[List], types: &[Type]) -> Result<GraphId, String> {
        let done = m.builder.begin("done");
        let mut last: Vec<Val> = types.iter().map(|ty| m.parameter(ty.clone())).collect();
        let turns = m.parameter(self.index.ty.clone());
        for (list, rows) in lists.iter().zip(last.iter_mut().skip(self.state.len())).filter(|(list, _)| list.grows()) {
            *rows = list.first(m, rows, &turns)?;
        }
        m.end(&last);
        Ok(done)
    }

    /// The graph between the first and the body that makes lists longer which are full. All lists that grow are equally long.
    fn room(&self, m: &mut Import, lists: &[List], types: &[Type]) -> Result<GraphId, String> {
        let room = m.builder.begin("room");
        let taken = self.taken(m, lists);
        let Some((_, list)) = lists.iter().zip(&taken.lists).find(|(list, _)| list.grows()) else {
            return Err("no list grows".into());
        };
        let rows = length(m, list, 0)?;
        let rows = m.op("Reshape", vec![rows.into(), Vec::<i64>::new().into()])?;
        let full = m.op("Equal", vec![(&taken.index).into(), rows.into()])?;
        let grow = m.builder.begin("grow");
        let mut longer = self.taken(m, lists);
        for (_, rows) in lists.iter().zip(&mut longer.lists).filter(|(list, _)| list.grows()) {
            // What is behind the rows of past turns is never read.
            *rows = join(m, vec![rows.clone(), rows.clone()], 0)?;
        }
        let args = longer.args(m);
        let results = m.call(self.body, args, types);
        m.end(&results);
        let closure = |graph, args| Closure { graph, args };
        let (then, otherwise) = (closure(grow, taken.args(m)), closure(self.body, taken.args(m)));
        let results = m.choose(&full, then, otherwise, types);
        m.end(&results);
        Ok(room)
    }

    /// Inputs of the current graph that are those of the body.
    fn taken(&self, m: &mut Import, lists: &[List]) -> Taken {
        let index = m.parameter(self.index.ty.clone());
        let state = self.types.iter().map(|ty| m.parameter(ty.clone())).collect();
        let fixed = m.enter(&self.around);
        let lists = lists.iter().map(|list| m.parameter(list.ty.clone())).collect();
        Taken { index, state, fixed, lists, limit: m.enter_one(&self.trips) }
    }

    /// The first call, from outside.
    fn enter(self, m: &mut Import, lists: &[List], types: &[Type]) -> Steps {
        let mut carried = vec![m.constant(Tensor::scalar(0i64)), self.cond];
        carried.extend(self.start);
        for list in lists {
            carried.push(list.empty(m)?);
        }
        let mut args = m.args(&carried);
        args.extend(m.passed(&self.around));
        args.extend(m.passed(&[self.trips]));
        Ok(m.call(self.header, args, types))
    }
}

/// What the body of a loop takes, in its order.
struct Taken {
    index: Val,
    state: Vec<Val>,
    fixed: Vec<Val>,
    lists: Vec<Val>,
    limit: Val,
}

impl Taken {
    fn args(&self, m: &mut Import) -> Vec<Arg> {
        let mut args = m.args(std::slice::from_ref(&self.index));
        args.extend(m.args(&self.state));
        args.extend(m.passed(&self.fixed));
        args.extend(m.args(&self.lists));
        args.extend(m.passed(std::slice::from_ref(&self.limit)));
        args
    }
}

/// Lists of loops that may turn more often grow as they need to.
const MOST_TURNS: i64 = 1 << 20;

/// Rows of a list that grows, after the first turn.
const FIRST_ROWS: i64 = 8;

/// The results of all turns so far.
struct List {
    ty: Type,
    places: Places,
}

/// Where the results of turns have their places.
enum Places {
    /// There from the start, as many as the type says.
    Fixed,
    /// There from the start, for so many turns, each of these dimensions.
    Computed { turns: Val, each: Vec<i64> },
    /// There for some turns; more of them when all are taken. Dimensions of the results of a turn, if there is none.
    Grown { dims: Vec<i64> },
}

impl List {
    fn grows(&self) -> bool {
        matches!(self.places, Places::Grown { .. })
    }

    /// The list before the first turn.
    fn empty(&self, m: &mut Import) -> Step {
        let shape = match &self.places {
            Places::Computed { turns, each } => {
                let none = m.constant(Tensor::scalar(0i64));
                let turns = m.op("Maximum", vec![turns.into(), none.into()])?;
                let turns = m.op("Reshape", vec![turns.into(), vec![1].into()])?;
                let each = m.vector(each);
                join(m, vec![turns, each], 0)?
            }
            Places::Fixed => {
                let dims = self.ty.dims.iter().flatten().map(|d| d.fixed().unwrap_or(0)).collect::<Vec<_>>();
                m.vector(&dims)
            }
            Places::Grown { dims } => m.vector(&[&[0], dims.as_slice()].concat()),
        };
        zeros(m, shape, self.ty.dtype)
    }

    /// The list with the row of turn `index`.
    fn with(&self, m: &mut Import, list: Val, index: &Val, row: &Val) -> Step {
        if !self.grows() {
            return place(m, &list, index, row);
        }
        // Before the first turn the list has no rows, and does not know their dimensions.
        let (rows, dims) = (length(m, &list, 0)?, dims_of(m, row)?);
        let shape = join(m, vec![rows.clone(), dims.clone()], 0)?;
        let list = m.op("Reshape", vec![list.into(), shape.into()])?;
        let (first, none) = (m.vector(&[FIRST_ROWS]), m.vector(&[0]));
        let missing = m.op("Sub", vec![first.into(), rows.into()])?;
        let missing = m.op("Maximum", vec![missing.into(), none.into()])?;
        let shape = join(m, vec![missing, dims], 0)?;
        let new = zeros(m, shape, self.ty.dtype)?;
        let list = join(m, vec![list, new], 0)?;
        place(m, &list, index, row)
    }

    /// The first `count` rows.
    fn first(&self, m: &mut Import, rows: &Val, count: &Val) -> Step {
        let end = m.op("Reshape", vec![count.into(), vec![1].into()])?;
        m.op("StridedSlice", vec![rows.into(), vec![0].into(), end.into(), vec![1].into()])
    }
}

/// Zeros of a shape that may be computed.
pub(super) fn zeros(m: &mut Import, shape: Val, dtype: DType) -> Step {
    let zero = m.scalar(dtype, 0.0)?;
    m.op("FillV2", vec![shape.into(), zero.into()])
}

/// `list` with `row` in place `index` of its first dimension.
pub(super) fn place(m: &mut Import, list: &Val, index: &Val, row: &Val) -> Step {
    let index = m.op("Reshape", vec![index.into(), vec![1, 1].into()])?;
    let row = m.op("ExpandDims", vec![row.into(), 0i64.into()])?;
    m.op("TensorScatterUpdate", vec![list.into(), index.into(), row.into()])
}
