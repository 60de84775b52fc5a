//! The types of operators' results, where not every length of the operands is fixed.

use mindir_graph::{
    DType, Fact,
    op::{ArgValue, Args, Const, OpDef, Operand},
    task::V,
};

use super::{
    import::{In, Val, argument, axis_of, param_kind},
    types::{Dims, Extent, Type},
};

/// The length that two lengths broadcast to.
fn broadcast(a: Extent, b: Extent) -> Extent {
    use Extent::*;
    match (a, b) {
        (a, b) if a == b => a,
        (Fixed(1), other) | (other, Fixed(1)) => other,
        // What is neither 1 nor this does not broadcast.
        (Fixed(n), _) | (_, Fixed(n)) => Fixed(n),
        _ => Open,
    }
}

fn broadcast_all(a: &[Extent], b: &[Extent]) -> Dims {
    let rank = a.len().max(b.len());
    let at = |s: &[Extent], i: usize| {
        let own = (i + s.len()).checked_sub(rank).and_then(|i| s.get(i).copied());
        own.unwrap_or(Extent::Fixed(1))
    };
    (0..rank).map(|i| broadcast(at(a, i), at(b, i))).collect()
}

fn product(dims: &[Extent]) -> Extent {
    let all = dims.iter().try_fold(1i64, |n, d| n.checked_mul(d.fixed()?));
    all.map_or(Extent::Open, Extent::Fixed)
}

/// Operators whose first result is like their first operand.
const LIKE_FIRST: &[&str] = &[
    "BatchNorm",
    "BiasAdd",
    "CumProd",
    "CumSum",
    "LRN",
    "LogSoftmax",
    "OnesLike",
    "ReverseSequence",
    "ReverseV2",
    "Softmax",
    "TensorScatterAdd",
    "TensorScatterElements",
    "TensorScatterMax",
    "TensorScatterMin",
    "TensorScatterMul",
    "TensorScatterUpdate",
    "Tril",
    "Triu",
    "ZerosLike",
];

/// The types of the `count` results of an operator, where not every length is fixed.
pub(super) fn results(def: &'static OpDef, args: &[In], count: usize) -> Result<Vec<Type>, String> {
    let call = Call { def, args };
    let first = call.first()?;
    let like = |dims: Option<Dims>| Type::new(first, dims);
    let mut all = match def.name {
        name if LIKE_FIRST.contains(&name) => vec![like(call.dims(0))],
        "Argmax" | "Argmin" => vec![Type::new(call.dtype(2)?, call.without(1)?)],
        "AvgPool" | "AvgPool3D" | "Conv2D" | "Conv3D" | "Conv3DTranspose" | "MaxPool" | "MaxPool3D" => {
            vec![like(call.image(first)?)]
        }
        "BatchMatMul" | "MatMul" => vec![like(call.products())],
        "BroadcastTo" => vec![like(call.repeated())],
        "Concat" => vec![call.joined()?],
        "Conv2DBackpropInput" => vec![like(call.list(2))],
        "DepthToSpace" => vec![like(call.blocks(|d, b| d.checked_mul(b), |c, b| c.checked_div(b.checked_mul(b)?)))],
        "SpaceToDepth" => vec![like(call.blocks(|d, b| d.checked_div(b), |c, b| c.checked_mul(b.checked_mul(b)?)))],
        "ExpandDims" => vec![like(call.inserted(call.dims(0), 1, Extent::Fixed(1))?)],
        "Eye" => vec![Type::new(call.dtype(2)?, vec![call.int(0), call.int(1)])],
        "FillV2" => vec![Type::new(call.val(1)?.dtype(), call.list(0).map(lengths))],
        "Flatten" => {
            let two = |dims: Dims| Some(vec![*dims.first()?, product(dims.get(1..)?)]);
            vec![like(Some(call.dims(0).and_then(two).unwrap_or(vec![Extent::Open; 2])))]
        }
        "Gather" => vec![like(call.gathered()?)],
        "GatherD" => vec![like(call.dims(2))],
        "GatherNd" => vec![like(call.picked())],
        "GridSampler2D" => {
            let (x, grid) = (call.dims(0), call.dims(1));
            let at = |dims: &Option<Dims>, d: usize| dims.as_ref().and_then(|v| v.get(d).copied());
            let dims = [at(&x, 0), at(&x, 1), at(&grid, 1), at(&grid, 2)];
            vec![like(Some(dims.into_iter().map(|d| d.unwrap_or(Extent::Open)).collect()))]
        }
        "LSTM" => call.lstm(first),
        "LayerNorm" => call.normalised(first)?,
        "MatMulExt" => vec![like(call.product())],
        "MaxPool3DWithArgmax" => {
            let dims = call.image(first)?;
            vec![like(dims.clone()), Type::new(DType::I64, dims)]
        }
        "NonZero" => {
            let rank = call.dims(0).map_or(Extent::Open, |dims| Extent::Fixed(dims.len() as i64));
            vec![Type::new(DType::I64, vec![Extent::Open, rank])]
        }
        "OneHot" => vec![Type::new(call.val(2)?.dtype(), call.inserted(call.dims(0), 4, call.int(1))?)],
        "PadV3" => vec![like(call.padded())],
        "ROIAlign" => {
            let length =
                |i: usize, d: usize| call.dims(i).and_then(|dims| dims.get(d).copied()).unwrap_or(Extent::Open);
            vec![like(Some(vec![length(1, 0), length(0, 1), call.int(2), call.int(3)]))]
        }
        "Range" => {
            let whole = (0..3).all(|i| !call.float(i));
            vec![Type::new(if whole { DType::I64 } else { DType::F32 }, vec![Extent::Open])]
        }
        name if name.starts_with("Reduce") => vec![call.reduced()?],
        "Reshape" => vec![like(call.reshaped())],
        "ResizeBilinearV2" | "ResizeNearestNeighbor" | "ResizeNearestNeighborV2" => vec![like(call.resized())],
        "Shape" => {
            let rank = call.dims(0).map_or(Extent::Open, |dims| Extent::Fixed(dims.len() as i64));
            vec![Type::new(DType::I64, vec![rank])]
        }
        "Size" => vec![Type::new(DType::I64, Vec::new())],
        "Split" => vec![like(call.split(|n, parts| (parts > 0).then(|| n / parts))?); count],
        "SplitWithSize" => call.parts(first, count)?,
        "Squeeze" => vec![like(call.squeezed()?)],
        "StridedSlice" => vec![like(call.sliced())],
        "Tile" => vec![like(call.tiled())],
        "TopkExt" => {
            let dims = call.selected()?;
            vec![like(dims.clone()), Type::new(DType::I64, dims)]
        }
        "Transpose" => vec![like(call.permuted()?)],
        _ if call.is_elementwise()? => vec![call.elementwise()?],
        other => return Err(format!("{other} of operands with open dimensions is not supported")),
    };
    all.resize(count.max(all.len()), like(None));
    Ok(all)
}

/// Negative numbers are no lengths.
fn lengths(dims: Dims) -> Dims {
    dims.into_iter().map(|d| if d.fixed().is_some_and(|n| n < 0) { Extent::Open } else { d }).collect()
}

fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    axis_of(axis, rank)
}

/// An operator with its arguments.
struct Call<'a> {
    def: &'static OpDef,
    args: &'a [In],
}

impl Call<'_> {
    /// The element type of the first operand.
    fn first(&self) -> Result<DType, String> {
        match self.args.first() {
            Some(In::Val(v)) => Ok(v.dtype()),
            Some(In::List(items)) => match items.first() {
                Some(In::Val(v)) => Ok(v.dtype()),
                _ => Err("there are no operands".into()),
            },
            _ => Ok(DType::I64),
        }
    }

    fn val(&self, i: usize) -> Result<&Val, String> {
        match self.args.get(i) {
            Some(In::Val(v)) => Ok(v),
            _ => Err(format!("operand {i} of {} is missing", self.def.name)),
        }
    }

    fn dims(&self, i: usize) -> Option<Dims> {
        self.val(i).ok()?.ty.dims.clone()
    }

    fn dtype(&self, i: usize) -> Result<DType, String> {
        match self.args.get(i) {
            Some(In::Const(Const::DType(d))) => Ok(*d),
            _ => Err(format!("argument {i} of {} is no element type", self.def.name)),
        }
    }

    fn float(&self, i: usize) -> bool {
        match self.args.get(i) {
            Some(In::Val(v)) => v.dtype().is_float(),
            Some(In::Const(c)) => matches!(c, Const::Float(_) | Const::Double(_)),
            _ => false,
        }
    }

    /// The integers of argument `i`, if their number is known.
    fn list(&self, i: usize) -> Option<Dims> {
        match self.args.get(i)? {
            In::Const(Const::Int(n)) => Some(vec![Extent::Fixed(*n)]),
            In::Const(Const::Tuple(items)) => {
                let one = |c: &Const| if let Const::Int(n) = c { Extent::Fixed(*n) } else { Extent::Open };
                Some(items.iter().map(one).collect())
            }
            In::Val(v) => v.elements(),
            _ => None,
        }
    }

    /// The integers of argument `i`, if all are fixed.
    fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.list(i)?.into_iter().map(Extent::fixed).collect()
    }

    /// The integer that argument `i` is.
    fn int(&self, i: usize) -> Extent {
        if let Some([one]) = self.list(i).as_deref() { *one } else { Extent::Open }
    }

    fn flag(&self, i: usize) -> bool {
        matches!(self.args.get(i), Some(In::Const(Const::Bool(true))))
    }

    /// The results' element type: that of single elements, as no element type depends on a length.
    fn elementwise(&self) -> Result<Type, String> {
        let mut dims = Some(Vec::new());
        for arg in self.args {
            if let In::Val(v) = arg {
                dims = dims.zip(v.ty.dims.as_ref()).map(|(a, b)| broadcast_all(&a, b));
            }
        }
        Ok(Type::new(self.element_type(&[], self.args)?, dims))
    }

    fn is_elementwise(&self) -> Result<bool, String> {
        self.def.is_elementwise(&self.with(&[], self.args)).map_err(|e| format!("{}: {e}", self.def.name))
    }

    /// The element type of the first result for operands of shape `dims`.
    fn element_type(&self, dims: &[usize], args: &[In]) -> Result<DType, String> {
        let facts = self.def.infer(&self.with(dims, args)).map_err(|e| format!("{}: {e}", self.def.name))?;
        facts.first().map(|f| f.dtype).ok_or_else(|| format!("{} has no result", self.def.name))
    }

    /// `args`, with operands of shape `dims` in place of theirs.
    fn with(&self, dims: &[usize], args: &[In]) -> Args {
        let mut next = 0;
        let item = |(i, arg): (usize, &In)| {
            Some(match arg {
                In::Val(v) => {
                    let operand = Operand { v: V(i as u32), fact: Fact::new(v.dtype(), dims).into(), known: None };
                    ArgValue::Operand(operand)
                }
                other => argument(other, param_kind(self.def, i), &mut next),
            })
        };
        Args { op: self.def.name, items: args.iter().enumerate().map(item).collect() }
    }

    /// The dimensions of operand 0 without the one that argument `i` names.
    fn without(&self, i: usize) -> Result<Option<Dims>, String> {
        let (Some(mut dims), Some(at)) = (self.dims(0), self.int(i).fixed()) else { return Ok(None) };
        dims.remove(axis(at, dims.len())?);
        Ok(Some(dims))
    }

    /// `dims` with one more, at the place that argument `i` names.
    fn inserted(&self, dims: Option<Dims>, i: usize, length: Extent) -> Result<Option<Dims>, String> {
        let (Some(mut dims), Some(at)) = (dims, self.int(i).fixed()) else { return Ok(None) };
        dims.insert(axis(at, dims.len() + 1)?, length);
        Ok(Some(dims))
    }

    /// Windows over images: what becomes of one image does not depend on how many there are.
    fn image(&self, dtype: DType) -> Result<Option<Dims>, String> {
        let Some(dims) = self.dims(0) else { return Ok(None) };
        let mut open = vec![Extent::Open; dims.len()];
        if let (Some(n), Some(first)) = (open.first_mut(), dims.first()) {
            *n = *first;
        }
        if let (Some(c), Some(last)) = (open.get_mut(1), dims.get(1)) {
            let filters = self.dims(1).filter(|_| matches!(self.def.name, "Conv2D" | "Conv3D"));
            *c = match filters {
                Some(w) => w.first().copied().unwrap_or(Extent::Open),
                None if self.def.name == "Conv3DTranspose" => Extent::Open,
                None => *last,
            };
        }
        let one = std::iter::once(Extent::Fixed(1)).chain(dims.iter().skip(1).copied()).collect::<Dims>();
        let one = Type::new(dtype, one).fact();
        let others = self.args.iter().skip(1).all(|a| !matches!(a, In::Val(v) if v.ty.fact().is_none()));
        let Some(one) = one.filter(|_| others) else { return Ok(Some(open)) };
        let mut next = 0;
        let mut items: Vec<Option<ArgValue>> =
            self.args.iter().enumerate().map(|(i, a)| Some(argument(a, param_kind(self.def, i), &mut next))).collect();
        if let Some(x) = items.first_mut() {
            *x = Some(ArgValue::Operand(Operand { v: V(next + 1), fact: one.into(), known: None }));
        }
        match self.def.infer(&Args { op: self.def.name, items }).as_deref() {
            Ok([fact, ..]) => {
                let rest = fact.shape.iter().skip(1).map(|&d| Extent::Fixed(d as i64));
                Ok(Some(open.first().copied().into_iter().chain(rest).collect()))
            }
            Ok([]) => Ok(Some(open)),
            Err(mindir_graph::OpError::NeedsValue(_) | mindir_graph::OpError::Dynamic) => Ok(Some(open)),
            Err(e) => Err(format!("{}: {e}", self.def.name)),
        }
    }

    /// Products of matrices, whose leading dimensions broadcast.
    fn products(&self) -> Option<Dims> {
        let (a, b) = (self.dims(0)?, self.dims(1)?);
        let (m, n) = (a.len().checked_sub(2)?, b.len().checked_sub(2)?);
        let row = a.get(m + usize::from(self.flag(2)))?;
        let col = b.get(n + usize::from(!self.flag(3)))?;
        let mut out = broadcast_all(a.get(..m)?, b.get(..n)?);
        out.extend([*row, *col]);
        Some(out)
    }

    /// A product as Python's `@`, which takes vectors too.
    fn product(&self) -> Option<Dims> {
        let (a, b) = (self.dims(0)?, self.dims(1)?);
        match (a.as_slice(), b.as_slice()) {
            ([_], [_]) => Some(Vec::new()),
            ([_], [lead @ .., _, n]) => Some(lead.iter().chain([n]).copied().collect()),
            ([lead @ .., _], [_]) => Some(lead.to_vec()),
            ([a @ .., m, _], [b @ .., _, n]) => Some(broadcast_all(a, b).into_iter().chain([*m, *n]).collect()),
            _ => None,
        }
    }

    /// The dimensions of operand 0 with argument 1 in the place that argument 2 names.
    fn selected(&self) -> Result<Option<Dims>, String> {
        let (Some(mut dims), Some(at)) = (self.dims(0), self.int(2).fixed()) else { return Ok(None) };
        let at = axis(at, dims.len())?;
        dims.get_mut(at).into_iter().for_each(|d| *d = self.int(1));
        Ok(Some(dims))
    }

    fn repeated(&self) -> Option<Dims> {
        let (own, mut want) = (self.dims(0), self.list(1)?);
        let lead = own.as_ref().map(|own| want.len().saturating_sub(own.len()));
        for (i, d) in want.iter_mut().enumerate() {
            let kept = lead.and_then(|lead| own.as_ref()?.get(i.checked_sub(lead)?).copied());
            let longer = || kept.and_then(Extent::fixed).is_some_and(|n| n > 1);
            if d.fixed() == Some(-1) || (*d == Extent::Open && longer()) {
                *d = kept.unwrap_or(Extent::Open);
            }
        }
        Some(lengths(want))
    }

    fn joined(&self) -> Result<Type, String> {
        let items: Vec<&Val> = match self.args.first() {
            Some(In::List(items)) => {
                items.iter().filter_map(|i| if let In::Val(v) = i { Some(v) } else { None }).collect()
            }
            _ => Vec::new(),
        };
        let mut types = items.iter().map(|v| v.dtype());
        let dtype = types.next().ok_or("there are no operands")?;
        let dtype = types.fold(dtype, DType::promote);
        let shapes: Vec<&Dims> = items.iter().filter_map(|v| v.ty.dims.as_ref()).collect();
        let (Some(first), Some(at)) = (shapes.first(), self.int(1).fixed()) else { return Ok(Type::new(dtype, None)) };
        let mut dims = (*first).clone();
        let at = axis(at, dims.len())?;
        for (d, length) in dims.iter_mut().enumerate() {
            let column = || shapes.iter().filter_map(|s| s.get(d).copied());
            *length = if d != at {
                column().find(|e| e.fixed().is_some()).unwrap_or(*length)
            } else if shapes.len() == items.len() {
                column().try_fold(0i64, |n, e| n.checked_add(e.fixed()?)).map_or(Extent::Open, Extent::Fixed)
            } else {
                Extent::Open
            };
        }
        Ok(Type::new(dtype, dims))
    }

    fn blocks(
        &self,
        side: impl Fn(i64, i64) -> Option<i64>,
        channels: impl Fn(i64, i64) -> Option<i64>,
    ) -> Option<Dims> {
        let (dims, block) = (self.dims(0)?, self.int(1).fixed()?);
        let one = |(d, e): (usize, Extent)| match d {
            0 => e,
            1 => e.map(|c| channels(c, block)),
            _ => e.map(|n| side(n, block)),
        };
        Some(dims.into_iter().enumerate().map(one).collect())
    }

    fn gathered(&self) -> Result<Option<Dims>, String> {
        let (Some(x), Some(index), Some(at)) = (self.dims(0), self.dims(1), self.int(2).fixed()) else {
            return Ok(None);
        };
        let at = axis(at, x.len())?;
        Ok(Some(x.iter().take(at).chain(&index).chain(x.iter().skip(at + 1)).copied().collect()))
    }

    fn picked(&self) -> Option<Dims> {
        let (x, index) = (self.dims(0)?, self.dims(1)?);
        let (depth, lead) = index.split_last()?;
        let rest = x.get(usize::try_from(depth.fixed()?).ok()?..)?;
        Some(lead.iter().chain(rest).copied().collect())
    }

    fn lstm(&self, dtype: DType) -> Vec<Type> {
        let at = |i: usize, d: usize| self.dims(i).and_then(|v| v.get(d).copied()).unwrap_or(Extent::Open);
        let both = i64::from(self.flag(8)) + 1;
        let (seq, batch, hidden) = (at(0, 0), at(0, 1), self.int(5));
        let state = Type::new(dtype, vec![at(1, 0), batch, hidden]);
        let wide = hidden.map(|n| n.checked_mul(both));
        vec![Type::new(dtype, vec![seq, batch, wide]), state.clone(), state]
    }

    fn padded(&self) -> Option<Dims> {
        let (mut dims, pads) = (self.dims(0)?, self.list(1));
        let mut pairs = pads.as_deref().unwrap_or_default().chunks(2);
        for d in dims.iter_mut().rev() {
            let pair = match (&pads, pairs.next()) {
                (None, _) => None,
                (_, Some([a, b])) => a.fixed().zip(b.fixed()),
                (_, _) => Some((0, 0)),
            };
            *d = match pair {
                Some((0, 0)) => *d,
                Some((a, b)) => d.map(|n| n.checked_add(a)?.checked_add(b)),
                None => Extent::Open,
            };
        }
        Some(lengths(dims))
    }

    /// What layer normalisation gives, and the statistics of its rows.
    fn normalised(&self, first: DType) -> Result<Vec<Type>, String> {
        let (dims, begin) = (self.dims(0), self.int(3).fixed().unwrap_or(1));
        let mut rows = dims.clone();
        if let Some(rows) = &mut rows {
            let begin = axis(begin, rows.len())?;
            rows.iter_mut().skip(begin).for_each(|d| *d = Extent::Fixed(1));
        }
        let stats = Type::new(DType::F32, rows);
        Ok(vec![Type::new(first, dims), stats.clone(), stats])
    }

    fn reduced(&self) -> Result<Type, String> {
        let axes = In::from(vec![0]);
        let probe: Vec<In> = self.args.iter().take(1).cloned().chain([axes, In::from(true)]).collect();
        let dtype = self.element_type(&[1], &probe)?;
        let (Some(mut dims), keep) = (self.dims(0), self.flag(2)) else { return Ok(Type::new(dtype, None)) };
        let rank = dims.len();
        let Some(axes) = self.list(1) else {
            return Ok(Type::new(dtype, keep.then(|| vec![Extent::Open; rank])));
        };
        let all: Option<Vec<i64>> = axes.iter().map(|a| a.fixed()).collect();
        let Some(all) = all else {
            let left = if keep { rank } else { rank.saturating_sub(axes.len()) };
            return Ok(Type::new(dtype, vec![Extent::Open; left]));
        };
        let gone = if all.is_empty() {
            (0..rank).collect()
        } else {
            all.into_iter().map(|a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?
        };
        gone.iter().filter_map(|&a| dims.get_mut(a).map(|d| *d = Extent::Fixed(1))).for_each(drop);
        if !keep {
            let kept = (0..).zip(dims).filter(|(d, _)| !gone.contains(d));
            dims = kept.map(|(_, d)| d).collect();
        }
        Ok(Type::new(dtype, dims))
    }

    fn reshaped(&self) -> Option<Dims> {
        let mut want = self.list(1)?;
        let rest = want.iter().position(|d| d.fixed() == Some(-1));
        if let Some(rest) = rest {
            let have = self.dims(0).map_or(Extent::Open, |dims| product(&dims));
            let others: Dims = want.iter().enumerate().filter(|(i, _)| *i != rest).map(|(_, d)| *d).collect();
            let others = product(&others).fixed();
            let left = have.map(|n| n.checked_div(others?));
            want.get_mut(rest).into_iter().for_each(|d| *d = left);
        }
        Some(lengths(want))
    }

    fn resized(&self) -> Option<Dims> {
        let dims = self.dims(0)?;
        let sizes = self.list(1).unwrap_or_else(|| vec![Extent::Open; dims.len().saturating_sub(2)]);
        Some(lengths(dims.into_iter().take(2).chain(sizes).collect()))
    }

    /// The dimensions of operand 0, the one along argument 1 divided by argument 2.
    fn split(&self, part: impl Fn(i64, i64) -> Option<i64>) -> Result<Option<Dims>, String> {
        let (Some(mut dims), Some(at)) = (self.dims(0), self.int(1).fixed()) else { return Ok(None) };
        let (at, parts) = (axis(at, dims.len())?, self.int(2).fixed());
        dims.get_mut(at).into_iter().for_each(|d| *d = d.map(|n| part(n, parts?)));
        Ok(Some(dims))
    }

    fn parts(&self, dtype: DType, count: usize) -> Result<Vec<Type>, String> {
        let sizes = self.list(1).unwrap_or_default();
        let (Some(dims), Some(at)) = (self.dims(0), self.int(2).fixed()) else {
            return Ok(vec![Type::new(dtype, None); count]);
        };
        let at = axis(at, dims.len())?;
        let part = |i: usize| {
            let mut dims = dims.clone();
            let size = sizes.get(i).copied().unwrap_or(Extent::Open);
            dims.get_mut(at).into_iter().for_each(|d| *d = size);
            Type::new(dtype, lengths(dims))
        };
        Ok((0..count).map(part).collect())
    }

    fn squeezed(&self) -> Result<Option<Dims>, String> {
        let (Some(dims), Some(axes)) = (self.dims(0), self.ints(1)) else { return Ok(None) };
        if axes.is_empty() {
            return Ok(None);
        }
        let gone = axes.into_iter().map(|a| axis(a, dims.len())).collect::<Result<Vec<_>, _>>()?;
        Ok(Some((0..).zip(dims).filter(|(d, _)| !gone.contains(d)).map(|(_, d)| d).collect()))
    }

    /// Ranges of every dimension, without masks but for those that take a dimension whole.
    fn sliced(&self) -> Option<Dims> {
        let mut dims = self.dims(0)?;
        let lists = [self.list(1), self.list(2), self.list(3)];
        let whole = self.int(4).fixed().unwrap_or(0) & self.int(5).fixed().unwrap_or(0);
        let at = |list: usize, d: usize| match lists.get(list).and_then(Option::as_ref) {
            None => None,
            Some(values) => values.get(d).copied().and_then(Extent::fixed),
        };
        for (d, length) in dims.iter_mut().enumerate() {
            if d < 63 && whole >> d & 1 == 1 && at(2, d) == Some(1) {
                continue;
            }
            let masked = [4, 5].into_iter().any(|i| self.int(i).fixed().unwrap_or(0) >> d.min(62) & 1 == 1);
            *length = match (at(0, d), at(1, d), at(2, d)) {
                (Some(begin), Some(end), Some(step)) if !masked => length.map(|n| taken(n, begin, end, step)),
                _ => Extent::Open,
            };
        }
        Some(dims)
    }

    fn tiled(&self) -> Option<Dims> {
        let (dims, times) = (self.dims(0)?, self.list(1)?);
        let rank = dims.len().max(times.len());
        let at = |list: &Dims, i: usize| {
            let lead = rank - list.len();
            i.checked_sub(lead).and_then(|i| list.get(i).copied()).unwrap_or(Extent::Fixed(1))
        };
        let one = |i: usize| match (at(&dims, i), at(&times, i)) {
            (d, Extent::Fixed(1)) => d,
            (d, n) => d.map(|d| n.fixed()?.checked_mul(d)),
        };
        Some(lengths((0..rank).map(one).collect()))
    }

    fn permuted(&self) -> Result<Option<Dims>, String> {
        let Some(dims) = self.dims(0) else { return Ok(None) };
        let Some(perm) = self.ints(1) else { return Ok(Some(vec![Extent::Open; dims.len()])) };
        let mut seen = perm.iter().map(|&p| axis(p, dims.len())).collect::<Result<Vec<_>, _>>()?;
        let out = seen.iter().filter_map(|&p| dims.get(p).copied()).collect();
        seen.sort_unstable();
        if !seen.iter().copied().eq(0..dims.len()) {
            return Err(format!("{perm:?} is no permutation of {} dimensions", dims.len()));
        }
        Ok(Some(out))
    }
}

/// Number of elements that a slice of `n` takes.
fn taken(n: i64, begin: i64, end: i64, step: i64) -> Option<i64> {
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let bound = |v: i64| (if v < 0 { v.saturating_add(n) } else { v }).clamp(low, high);
    let span = if step > 0 { bound(end) - bound(begin) } else { bound(begin) - bound(end) };
    let step = i64::try_from(step.unsigned_abs()).ok().filter(|s| *s > 0)?;
    Some((span.max(0) + step - 1) / step)
}

/// Elements of the result that are known although not all are: lengths on their way through shape arithmetic.
pub(super) fn elements(def: &OpDef, args: &[In], result: &Type) -> Option<Dims> {
    let call = |i: usize| if let Some(In::Val(v)) = args.get(i) { Some(v) } else { None };
    let own = || call(0)?.elements();
    let ints = |i: usize| match args.get(i)? {
        In::Val(v) => v.ints().ok(),
        In::Const(Const::Int(n)) => Some(vec![*n]),
        In::Const(Const::Tuple(items)) => {
            items.iter().map(|c| if let Const::Int(n) = c { Some(*n) } else { None }).collect()
        }
        _ => None,
    };
    let vector = |v: &Val| v.ty.dims.as_ref().is_some_and(|d| d.len() == 1);
    let flat = result.dims.as_ref().is_some_and(|d| d.len() <= 1);
    match def.name {
        "Shape" => call(0)?.ty.dims.clone(),
        "Concat" if flat => {
            let Some(In::List(items)) = args.first() else { return None };
            let parts = items.iter().map(|i| if let In::Val(v) = i { v.elements() } else { None });
            Some(parts.collect::<Option<Vec<_>>>()?.concat())
        }
        "Gather" if flat && vector(call(0)?) => {
            let (own, index) = (own()?, ints(1)?);
            let pick = |i: i64| own.get(axis(i, own.len()).ok()?).copied();
            index.into_iter().map(pick).collect()
        }
        "StridedSlice" if flat && args.get(4).is_none() => {
            let (own, begin, end, step) = (own()?, ints(1)?, ints(2)?, ints(3)?);
            let ([begin], [end], [1]) = (begin.as_slice(), end.as_slice(), step.as_slice()) else { return None };
            let bound = |v: i64| {
                let n = own.len() as i64;
                (if v < 0 { v.saturating_add(n) } else { v }).clamp(0, n) as usize
            };
            Some(own.get(bound(*begin)..bound(*end).max(bound(*begin)))?.to_vec())
        }
        "Reshape" | "ExpandDims" | "Squeeze" if flat => own(),
        "Cast" if flat && call(0)?.dtype().is_int() && matches!(result.dtype, DType::I64 | DType::I32) => own(),
        _ => None,
    }
}
