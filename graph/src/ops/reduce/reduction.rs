//! Reductions: a table of name, type rule and function, for MindSpore's two families of signatures.

use crate::onnx::{Emit, Forms, machine, no_form, reduce};
use crate::op::{ArgValue, Case, CaseArg, Const, FromArg, Ints, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{Groups, complex_fact, emit, fact, float_of, number_of, scalars, size, tensor_of};
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes, flag, truth};
use crate::ops::kit::sample::{complex, cycle, flags, sample, wave};
use crate::task::{Binary, Lowering, ReduceKind, Scalar, Unary, V};
use crate::{DType, Fact, OpError, Shape, Tensor, aligned_copy, ensure, op};

/// The axes of a reduction: integers, or `None` for all.
#[derive(Clone, Debug, Default)]
pub struct Axes(pub Ints);

impl FromArg for Axes {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Const(Const::None) => Ok(Some(Axes::default())),
            other => Ok(Ints::from_arg(other)?.map(Axes)),
        }
    }

    fn into_const(self) -> Option<Const> {
        self.0.into_const()
    }
}

impl Axes {
    /// The dimensions of `x` that they name, sorted; a scalar may be reduced along axis 0 or −1.
    pub(in crate::ops) fn of(&self, x: &Operand) -> Result<Vec<usize>, OpError> {
        if x.rank() == 0 && self.0.iter().all(|a| matches!(a, 0 | -1)) {
            return Ok(Vec::new());
        }
        x.axes(&self.0)
    }
}

/// The dimension that `axis` names; none of a scalar, which has axis 0.
pub(super) fn dimension(x: &Operand, axis: i64) -> Result<Option<usize>, OpError> {
    if x.rank() == 0 && matches!(axis, 0 | -1) { Ok(None) } else { x.axis(axis).map(Some) }
}

/// [`dimension`] as a list of axes.
pub(super) fn axes_of(x: &Operand, axis: i64) -> Result<Vec<usize>, OpError> {
    Ok(dimension(x, axis)?.into_iter().collect())
}

/// The shape of `dims` after a reduction along `axes`.
pub(in crate::ops) fn reduced(dims: &[usize], axes: &[usize], keep: bool) -> Shape {
    let kept = |(d, &len): (usize, &usize)| if axes.contains(&d) { keep.then_some(1) } else { Some(len) };
    dims.iter().enumerate().filter_map(kept).collect()
}

/// A reduction of one tensor.
pub(in crate::ops) struct Reduction<'a> {
    pub x: &'a Operand,
    pub axes: Vec<usize>,
    pub keep: bool,
    /// The type in which it is computed.
    pub compute: DType,
    /// The type of the result.
    pub out: DType,
}

impl<'a> Reduction<'a> {
    pub fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[self.x], self.out)?;
        Ok(vec![Fact { dtype: self.out, shape: self.shape() }])
    }

    fn shape(&self) -> Shape {
        reduced(self.x.shape(), &self.axes, self.keep)
    }

    /// `f` of the elements of every group.
    pub fn groups(&self, f: impl Fn(&[Scalar]) -> Scalar) -> Result<Vec<Tensor>, OpError> {
        let shape = self.shape();
        size(&shape)?;
        let data = scalars(self.x.tensor()?, self.compute)?;
        let y = Groups::new(self.x.shape(), &self.axes).map(&data, f)?;
        Ok(vec![tensor_of(self.out, &shape, &y)?])
    }

    /// By this function.
    pub fn by(self, kind: ReduceKind) -> Folded<'a> {
        Folded { of: self, kind, skips: false }
    }
}

/// A function of the elements along some axes. The largest of no numbers is what no number is below, the smallest what none
/// is above.
pub(in crate::ops) struct Folded<'a> {
    of: Reduction<'a>,
    kind: ReduceKind,
    /// Whether the operand is the result where there is no axis.
    skips: bool,
}

impl Folded<'_> {
    /// The number that all results are if they are extremes of nothing.
    fn of_nothing(&self) -> Result<Option<Tensor>, OpError> {
        let Folded { of, kind, .. } = self;
        let extreme = matches!(kind, ReduceKind::Max | ReduceKind::Min);
        let nothing = of.axes.iter().any(|&a| of.x.shape().get(a) == Some(&0));
        if !(extreme && nothing && size(&of.shape())? > 0) {
            return Ok(None);
        }
        if of.x.dtype() == DType::Bool {
            return Ok(Some(Tensor::from_bools(&[], &[*kind == ReduceKind::Min])?.cast(of.compute)?));
        }
        bound(of.compute, *kind == ReduceKind::Min).map(Some)
    }

    /// Whether it is the mean of integers, which truncates.
    fn truncates(&self) -> bool {
        self.kind == ReduceKind::Mean && !self.of.compute.is_float()
    }

    /// Whether it is a function of complex numbers.
    fn is_complex(&self) -> bool {
        let of_complex =
            !matches!(self.kind, ReduceKind::Max | ReduceKind::Min | ReduceKind::ArgMax | ReduceKind::ArgMin);
        of_complex && (self.of.x.dtype().is_complex() || self.of.compute.is_complex())
    }

    /// The reference of complex numbers.
    fn of_complex(&self) -> Result<Vec<Tensor>, OpError> {
        let of = &self.of;
        let fold = |z: &[Complex64]| match self.kind {
            ReduceKind::Prod => z.iter().product(),
            ReduceKind::Mean => z.iter().sum::<Complex64>() / z.len() as f64,
            ReduceKind::All => flag(z.iter().all(|z| truth(*z))),
            ReduceKind::Any => flag(z.iter().any(|z| truth(*z))),
            _ => z.iter().sum(),
        };
        let z = Groups::new(of.x.shape(), &of.axes).map(&complexes(of.x.tensor()?)?, fold)?;
        Ok(vec![complex_tensor(of.out, &of.shape(), &z)?])
    }
}

impl Rule for Folded<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let of = &self.of;
        if !self.is_complex() {
            return of.infer();
        }
        complex_fact(&[of.x], of.out)?;
        Ok(vec![Fact { dtype: of.out, shape: of.shape() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let of = &self.of;
        if self.is_complex() {
            return self.of_complex();
        }
        match self.of_nothing()? {
            Some(bound) => Ok(vec![Tensor::filled(of.compute, &of.shape(), bound.bytes())?.cast(of.out)?]),
            None => of.groups(|g| fold(self.kind, g, of.compute)),
        }
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let of = &self.of;
        if self.skips && of.axes.is_empty() {
            return Ok(Some(vec![of.x.v]));
        }
        if self.truncates() || self.is_complex() {
            return Ok(None);
        }
        let y = if let Some(bound) = self.of_nothing()? {
            let bound = b.constant(bound);
            b.broadcast_to(bound, &of.shape())?
        } else {
            let x = b.cast(of.x.v, of.compute);
            b.reduce(self.kind, x, &of.axes, of.keep, of.out)?
        };
        Ok(Some(vec![b.cast(y, of.out)]))
    }

    /// `ReduceSum` and its kin.
    fn onnx(&self, e: &mut Emit) -> Forms {
        let Reduction { x, axes, keep, compute, out } = &self.of;
        if self.is_complex() {
            return no_form("ONNX has no arithmetic of complex numbers");
        }
        let truth = match self.kind {
            ReduceKind::Max => Some(ReduceKind::Any),
            ReduceKind::Min => Some(ReduceKind::All),
            _ => None,
        };
        if let Some(kind) = truth.filter(|_| x.dtype() == DType::Bool) {
            // An extreme of no numbers would not be that of no truth values.
            let y = e.edge(x)?;
            return Ok(Some(vec![reduce(e, kind, y, axes, *keep, DType::Bool, *out)]));
        }
        let y = e.as_type(x, *compute)?;
        if !self.truncates() {
            let y = reduce(e, self.kind, y, axes, *keep, *compute, *compute);
            return Ok(Some(vec![e.cast(y, *compute, *out)]));
        }
        if x.is_open() {
            return no_form("the mean of integers, and a dimension is open");
        }
        let count: usize = axes.iter().filter_map(|&a| x.shape().get(a)).product();
        let wide = machine(*compute);
        let y = e.cast(y, *compute, wide);
        let sum = e.reduce("ReduceSum", y, axes, *keep);
        let count = e.number(wide, count.max(1) as f64)?;
        let y = e.op("Div", &[sum, count]);
        Ok(Some(vec![e.cast(y, wide, *out)]))
    }
}

/// The number of a type that none is above, or that none is below.
fn bound(dtype: DType, highest: bool) -> Result<Tensor, OpError> {
    if dtype.is_float() {
        let infinity = if highest { f64::INFINITY } else { f64::NEG_INFINITY };
        return Ok(Tensor::from_f64s(dtype, &[], &[infinity])?);
    }
    let mut bytes = vec![if highest { 0xff } else { 0 }; dtype.size()];
    let signed = matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
    bytes.last_mut().filter(|_| signed).into_iter().for_each(|sign| *sign ^= 0x80);
    Ok(Tensor::from_bytes(dtype, &[], aligned_copy(&bytes)?)?)
}

/// A reduction of numbers of `dtype`. The mean of integers is the sum divided by the count, truncated.
fn fold(kind: ReduceKind, xs: &[Scalar], dtype: DType) -> Scalar {
    let start = |float: f64, int: i64| if dtype.is_float() { Scalar::Float(float) } else { Scalar::Int(int) };
    let all = |f: Binary, first: Scalar| xs.iter().fold(first, |a, &x| f.eval(a, x, dtype));
    let extreme = |f: Binary| xs.iter().copied().reduce(|a, x| f.eval(a, x, dtype)).unwrap_or(start(0.0, 0));
    match kind {
        ReduceKind::Sum => all(Binary::Add, start(0.0, 0)),
        ReduceKind::Prod => all(Binary::Mul, start(1.0, 1)),
        ReduceKind::Mean => match all(Binary::Add, start(0.0, 0)) {
            Scalar::Float(s) => Scalar::Float(s / xs.len() as f64),
            Scalar::Int(s) => Scalar::Int(s.checked_div(xs.len() as i64).unwrap_or(0)),
        },
        ReduceKind::Max => extreme(Binary::Max),
        ReduceKind::Min => extreme(Binary::Min),
        ReduceKind::All => Scalar::Int(i64::from(xs.iter().all(|x| x.truth()))),
        ReduceKind::Any => Scalar::Int(i64::from(xs.iter().any(|x| x.truth()))),
        ReduceKind::ArgMax | ReduceKind::ArgMin => {
            Scalar::Int(first_extreme(xs, kind == ReduceKind::ArgMin).map_or(0, |(i, _)| i as i64))
        }
    }
}

/// Position of the first largest or smallest number; the first NaN if there is one.
pub(in crate::ops) fn first_extreme(xs: &[Scalar], smallest: bool) -> Option<(usize, Scalar)> {
    let better = |a: Scalar, b: Scalar| match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => {
            if smallest {
                a < b
            } else {
                a > b
            }
        }
        (a, b) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            !b.is_nan() && (a.is_nan() || if smallest { a < b } else { a > b })
        }
    };
    xs.iter().copied().enumerate().reduce(|best, next| if better(next.1, best.1) { next } else { best })
}

/// Which types a reduction takes and gives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Types {
    /// The operand's type; `bool` as integers.
    Number,
    /// Integers and `bool` become `i64`; an explicit type overrides.
    Widen,
    /// Any, read as `bool`; `bool` result.
    Truth,
}

/// The types of computation and of the result.
fn types(rule: Types, x: DType, out: Option<DType>) -> (DType, DType) {
    match (rule, out) {
        (Types::Truth, _) => (DType::Bool, DType::Bool),
        (_, Some(d)) => (number_of(d), d),
        (Types::Widen, None) if !x.is_float() && !x.is_complex() => (DType::I64, DType::I64),
        _ => (number_of(x), x),
    }
}

/// Name, type, shape, axes and whether they are kept.
type Row = (&'static str, DType, &'static [usize], &'static [i64], bool);

fn cases(rule: Types, kind: ReduceKind, ext: bool) -> Vec<Case> {
    let small = |d: DType, dims: &[usize]| match kind {
        ReduceKind::Prod => cycle(d, dims, &[1.0, -1.5, 0.5, 2.0, 1.25]),
        _ => wave(d, dims),
    };
    let mut rows: Vec<Row> = vec![
        ("last", DType::F32, &[3, 4, 17], &[-1], false),
        ("last kept", DType::F32, &[3, 4, 17], &[2], true),
        ("middle", DType::F32, &[3, 5, 4], &[1], false),
        ("first", DType::F32, &[7, 3], &[0], true),
        ("apart", DType::F32, &[2, 3, 4, 5], &[3, 1], false),
        ("all", DType::F32, &[3, 5, 7], &[], false),
        ("all kept", DType::F32, &[3, 5], &[0, 1], true),
        ("scalar", DType::F32, &[], &[], false),
        ("i32", DType::I32, &[4, 5], &[1], false),
        ("f16", DType::F16, &[3, 9], &[1], false),
    ];
    if rule == Types::Truth {
        rows = vec![
            ("last", DType::Bool, &[3, 7], &[-1], false),
            ("first kept", DType::Bool, &[3, 7], &[0], true),
            ("all", DType::Bool, &[3, 7], &[], false),
        ];
    }
    let arg = |d: DType, dims: &[usize]| if d == DType::Bool { flags(dims) } else { small(d, dims) };
    let axes = |axes: &[i64]| if ext && axes.is_empty() { CaseArg::from(Const::None) } else { CaseArg::from(axes) };
    let mut out: Vec<Case> = rows
        .iter()
        .map(|(name, d, dims, at, keep)| sample().arg(arg(*d, dims)).arg(axes(at)).flag(*keep).case(name))
        .collect();
    if ext && rule == Types::Widen {
        out.push(sample().arg(small(DType::F32, &[4, 5])).int(1).flag(false).dtype(DType::F64).case("to f64"));
    }
    if !matches!(kind, ReduceKind::Max | ReduceKind::Min) {
        out.push(sample().arg(complex(DType::C64, &[3, 4])).ints(&[1]).case("c64"));
    }
    if rule != Types::Truth {
        out.push(sample().arg(small(DType::F32, &[3, 0])).ints(&[1]).case("empty"));
    }
    out
}

macro_rules! reduction {
    ($($(#[doc = $doc:literal])+ $name:ident ($x:ident, $axis:ident, $keep:ident $(, $dtype:ident)?) = $rule:ident, $kind:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { $x: Operand, $axis: Axes = Axes::default(), $keep ["keepdims"]: bool = false $(, $dtype: Option<DType> = None)? }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let explicit: Option<DType> = [$(self.$dtype,)? None][0];
                let (compute, out) = types(Types::$rule, self.$x.dtype(), explicit);
                let axes = self.$axis.of(&self.$x)?;
                Ok(Reduction { x: &self.$x, axes, keep: self.$keep, compute, out }.by(ReduceKind::$kind))
            }

            fn cases() -> Vec<Case> {
                cases(Types::$rule, ReduceKind::$kind, stringify!($keep) == "keepdim")
            }
        }
    )*};
}

reduction! {
    /// Mean along `axis`; an empty `axis` means all. Integers give integers: the sum divided by the count, truncated.
    ReduceMean(x, axis, keep_dims) = Number, Mean;
    /// Largest element along `axis`; an empty `axis` means all. NaN if there is one.
    ReduceMax(x, axis, keep_dims) = Number, Max;
    /// Smallest element along `axis`; an empty `axis` means all. NaN if there is one.
    ReduceMin(x, axis, keep_dims) = Number, Min;
    /// Product along `axis`; an empty `axis` means all.
    ReduceProd(x, axis, keep_dims) = Number, Prod;
    /// Whether all elements along `axis` are true, as `bool`; an empty `axis` or `None` means all.
    ReduceAll(input, axis, keep_dims) = Truth, All;
    /// Whether any element along `axis` is true, as `bool`; an empty `axis` means all.
    ReduceAny(x, axis, keep_dims) = Truth, Any;
    /// Whether any element along `dim` is true, as `bool`; `None` means all.
    AnyExt(input, dim, keepdim) = Truth, Any;
    /// Sum along `dim`; `None` means all. Integers and `bool` give `i64` unless `dtype` is given; floats keep their type.
    SumExt(input, dim, keepdim, dtype) = Widen, Sum;
    /// Mean along `dim`; `None` means all. `dtype` converts first. Integers give integers, truncated.
    MeanExt(input, dim, keepdim, dtype) = Number, Mean;
    /// Product along `dim`; `None` means all. Integers and `bool` give `i64` unless `dtype` is given.
    ProdExt(input, dim, keepdim, dtype) = Widen, Prod;
}

op! {
    /// Sum along `axis`. An empty `axis` means all, or none at all with `skip_mode`. The result has the type of `x`; integers
    /// wrap and `bool` gives whether any is true.
    ReduceSum { x: Operand, axis: Axes = Axes::default(), keep_dims: bool = false, skip_mode: bool = false }
}

impl Operator for ReduceSum {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, out) = (&self.x, self.x.dtype());
        let none = self.skip_mode && self.axis.0.is_empty();
        let axes = if none { Vec::new() } else { self.axis.of(x)? };
        let of = Reduction { x, axes, keep: self.keep_dims, compute: number_of(out), out };
        Ok(Folded { skips: true, ..of.by(ReduceKind::Sum) })
    }

    fn cases() -> Vec<Case> {
        let mut out = cases(Types::Number, ReduceKind::Sum, false);
        out.push(sample().arg(wave(DType::F32, &[3, 4])).ints(&[]).flag(false).flag(true).exact("skipped"));
        out
    }
}

macro_rules! whole {
    ($($(#[doc = $doc:literal])+ $(($object:ident))? $name:ident = $rule:ident, $kind:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($object)? $name { input: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let x = &self.input;
                ensure!(!x.dims().contains(&Some(0)), "expected at least one element, found {}", x.fact);
                let (compute, out) = types(Types::$rule, x.dtype(), None);
                let axes = (0..x.rank()).collect();
                Ok(Reduction { x, axes, keep: false, compute, out }.by(ReduceKind::$kind))
            }

            fn cases() -> Vec<Case> {
                if Types::$rule == Types::Truth {
                    return vec![sample().arg(flags(&[3, 5])).exact("bool")];
                }
                vec![
                    sample().arg(wave(DType::F32, &[3, 5, 7])).exact("f32"),
                    sample().arg(wave(DType::I64, &[9])).exact("i64"),
                    sample().arg(wave(DType::F32, &[])).exact("scalar"),
                ]
            }
        }
    )*};
}

whole! {
    /// Largest of all elements; NaN if there is one.
    Max = Number, Max;
    /// Smallest of all elements; NaN if there is one.
    Min = Number, Min;
    /// Whether any element is true, as `bool`.
    Any = Truth, Any;
    /// Whether all elements are true, as `bool`.
    (object) All = Truth, All;
}

op! {
    /// `ln Σ eˣ` along `dim`; `None` means all. Integers give `f32`.
    LogSumExp { input: Operand, dim: Axes, keepdim: bool = false }
}

impl LogSumExp {
    fn reduction(&self) -> Result<Reduction<'_>, OpError> {
        let d = float_of(self.input.dtype());
        Ok(Reduction { x: &self.input, axes: self.dim.of(&self.input)?, keep: self.keepdim, compute: d, out: d })
    }
}

impl Rule for LogSumExp {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.reduction()?.infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.reduction()?.groups(|g| {
            let max = fold(ReduceKind::Max, g, DType::F64).as_f64();
            let shift = if max.is_finite() { max } else { 0.0 };
            Scalar::Float(g.iter().map(|x| (x.as_f64() - shift).exp()).sum::<f64>().ln() + shift)
        })
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let r = self.reduction()?;
        let x = b.cast(self.input.v, r.out);
        let max = b.reduce(ReduceKind::Max, x, &r.axes, true, r.out)?;
        let finite = b.unary(Unary::IsFinite, max);
        let (max, finite) = (operand(b, max), operand(b, finite));
        let shift = emit(b, &[(&max, r.out), (&finite, DType::Bool)], r.out, |p, [max, finite]| {
            let zero = p.constant(0.0, r.out);
            p.select(finite, max, zero)
        })?;
        let d = b.binary(Binary::Sub, x, shift)?;
        let e = b.unary(Unary::Exp, d);
        let sum = b.reduce(ReduceKind::Sum, e, &r.axes, true, r.out)?;
        let l = b.unary(Unary::Log, sum);
        let y = b.binary(Binary::Add, l, shift)?;
        Ok(Some(vec![b.reshape(y, &reduced(self.input.shape(), &r.axes, self.keepdim))?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let r = self.reduction()?;
        let (x, wide) = (e.as_type(&self.input, r.out)?, machine(r.out));
        let x = e.cast(x, r.out, wide);
        let y = e.reduce("ReduceLogSumExp", x, &r.axes, r.keep);
        Ok(Some(vec![e.cast(y, wide, r.out)]))
    }

    fn cases() -> Vec<Case> {
        let inf = cycle(DType::F32, &[2, 3], &[f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0, 2.0, 3.0]);
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).int(-1).case("last"),
            sample().arg(wave(DType::F32, &[3, 4, 5])).ints(&[0, 2]).flag(true).case("apart kept"),
            sample().arg(cycle(DType::F32, &[2, 2], &[1000.0, 1001.0])).int(1).case("large"),
            sample().arg(inf).int(1).case("minus infinity"),
        ]
    }
}

/// A value of the task graph as an operand.
pub(in crate::ops) fn operand(b: &Lowering, v: V) -> Operand {
    Operand { v, fact: b.fact(v).clone().into(), known: b.known(v) }
}
