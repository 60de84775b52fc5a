//! Tensors made from numbers: filled, counted, spread.

use crate::bounds::{self, Reservation};
use crate::onnx::{Edge, Emit, Forms};
use crate::op::{Case, Ints, Late, Lowers, Number, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{float_of, number_of, real, scalars, size, tensor_of};
use crate::ops::kit::indices::{dim, only};
use crate::ops::kit::sample::{filled, flags, sample, wave};
use crate::task::{Lowering, Scalar};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

/// The largest tensor that is made from numbers alone.
pub(in crate::ops) const LIMIT: usize = 1 << 28;

/// A shape given as an argument.
pub(in crate::ops) fn shape_of(dims: &[i64]) -> Result<Shape, OpError> {
    let shape = dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Shape, _>>();
    let shape = shape.map_err(|_| OpError::Invalid(format!("expected dimensions of at least 0, found {dims:?}")))?;
    ensure!(size(&shape)? <= LIMIT, "a tensor of {dims:?} is too large");
    Ok(shape)
}

/// Room for `n` numbers to compute with.
pub(super) fn room(n: usize) -> Result<Reservation, OpError> {
    Ok(bounds::room(n.saturating_mul(8))?)
}

/// A tensor of `fact` with every element `value`.
fn full(fact: &Fact, value: Scalar) -> Result<Tensor, OpError> {
    let n = size(&fact.shape)?;
    ensure!(n <= LIMIT, "a tensor of {:?} is too large", fact.shape);
    if value.as_f64() == 0.0 && !matches!(value, Scalar::Float(x) if x.is_sign_negative()) {
        return Ok(Tensor::zeros(fact.dtype, &fact.shape)?);
    }
    let one = tensor_of(fact.dtype, &[1], &[value])?;
    Ok(Tensor::filled(fact.dtype, &fact.shape, one.bytes())?)
}

/// A number for a tensor.
fn scalar(x: Number) -> Scalar {
    match x {
        Number::Int(i) => Scalar::Int(i),
        Number::Float(x) => Scalar::Float(x),
    }
}

/// The type of a tensor made from a number.
fn natural(x: Number) -> DType {
    if matches!(x, Number::Int(_)) { DType::I64 } else { DType::F32 }
}

/// Where a tensor's dimensions come from.
enum Extent<'a> {
    /// An operand has them.
    Of(&'a Operand),
    /// They are the argument with this number.
    Given(usize, &'a Late<Ints>),
}

impl Extent<'_> {
    fn shape(&self) -> Result<Shape, OpError> {
        match self {
            Extent::Of(x) => Ok(x.fact.shape.clone()),
            Extent::Given(_, dims) => shape_of(dims.get()?),
        }
    }

    /// `Expand` of the number `value`.
    fn expand(&self, e: &mut Emit, value: Edge) -> Forms {
        let shape = match self {
            Extent::Of(x) => {
                let sizes = e.sizes_of(x);
                e.sizes(&sizes)?
            }
            Extent::Given(index, dims) => e.ints(*index, dims.known().map(|d| &d[..]))?,
        };
        Ok(Some(vec![e.op("Expand", &[value, shape])]))
    }
}

/// A tensor with the same number everywhere.
struct Made<'a> {
    dtype: DType,
    value: Scalar,
    dims: Extent<'a>,
}

impl Rule for Made<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.dtype, shape: self.dims.shape()? }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![full(&only(self.infer()?)?, self.value)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        constants(self, b)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let value = e.constant(tensor_of(self.dtype, &[], &[self.value])?);
        self.dims.expand(e, value)
    }
}

/// What `plan` computes, which depends on no operand's contents.
fn constants(plan: &impl Rule, b: &mut Lowering) -> Lowers {
    Ok(Some(plan.reference()?.into_iter().map(|t| b.constant(t)).collect()))
}

/// A tensor of `fact` that `make` computes from arguments alone.
struct Numbers<F> {
    fact: Fact,
    make: F,
}

impl<F: Fn(&Fact) -> Result<Tensor, OpError>> Rule for Numbers<F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![(self.make)(&self.fact)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        constants(self, b)
    }
}

macro_rules! constant {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident { $($field:ident $([$old:literal])? : $t:ty $(= $default:expr)?),* }
        = $rule:expr, [$($case:expr),*];)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { $($field $([$old])? : $t $(= $default)?),* }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let rule: fn(&$name) -> Result<Made<'_>, OpError> = $rule;
                rule(self)
            }

            fn cases() -> Vec<Case> {
                vec![$($case),*]
            }
        }
    )*};
}

/// A tensor whose dimensions are argument `index`.
fn made(index: usize, dims: &Late<Ints>, dtype: DType, value: Scalar) -> Result<Made<'_>, OpError> {
    Ok(Made { dtype, value, dims: Extent::Given(index, dims) })
}

fn like(x: &Operand, dtype: Option<DType>, value: Scalar) -> Result<Made<'_>, OpError> {
    real(x)?;
    Ok(Made { dtype: dtype.unwrap_or(x.dtype()), value, dims: Extent::Of(x) })
}

/// The distance from 1 to the next number.
fn epsilon(dtype: DType) -> Result<f64, OpError> {
    let bits = match dtype {
        DType::BF16 => 7,
        DType::F16 => 10,
        DType::F32 => 23,
        DType::F64 => 52,
        _ => return Err(OpError::Invalid(format!("expected a float type, found {dtype}"))),
    };
    Ok((-f64::from(bits)).exp2())
}

constant! {
    /// Zeros with the shape and type of `x`.
    ZerosLike { x: Operand } = |op| like(&op.x, None, Scalar::Int(0)),
        [sample().arg(wave(DType::F32, &[3, 5])).exact("f32"), sample().arg(flags(&[3])).exact("bool")];
    /// Ones with the shape and type of `x`.
    OnesLike { x: Operand } = |op| like(&op.x, None, Scalar::Int(1)),
        [sample().arg(wave(DType::F16, &[3, 5])).exact("f16"), sample().arg(wave(DType::I32, &[])).exact("scalar")];
    /// Zeros with the shape of `input`, in `dtype` or its type.
    ZerosLikeExt { input: Operand, dtype: Option<DType> = None } = |op| like(&op.input, op.dtype, Scalar::Int(0)),
        [sample().arg(wave(DType::F32, &[3, 5])).none().exact("same"), sample().arg(wave(DType::F32, &[3])).dtype(DType::I64).exact("i64")];
    /// Ones with the shape of `input`, in `dtype` or its type.
    OnesLikeExt { input: Operand, dtype: Option<DType> = None } = |op| like(&op.input, op.dtype, Scalar::Int(1)),
        [sample().arg(wave(DType::F32, &[3, 5])).none().exact("same"), sample().arg(wave(DType::F32, &[3])).dtype(DType::I64).exact("i64")];
    /// `fill_value` everywhere, with the shape of `input`, in `dtype` or its type.
    FullLike { input: Operand, fill_value: Number, dtype: Option<DType> = None }
        = |op| like(&op.input, op.dtype, scalar(op.fill_value)),
        [sample().arg(wave(DType::F32, &[3, 5])).real(2.5).none().exact("same"), sample().arg(wave(DType::F32, &[3])).int(15).dtype(DType::I64).exact("i64")];
    /// Zeros of shape `size`, in `dtype` or the type of `input`.
    NewZeros { input: Operand, size: Late<Ints>, dtype: Option<DType> = None }
        = |op| made(1, &op.size, op.dtype.unwrap_or(op.input.dtype()), Scalar::Int(0)),
        [sample().arg(wave(DType::I32, &[5])).ints(&[1, 16]).none().exact("same")];
    /// Ones of shape `size`, in `dtype` or the type of `input`.
    NewOnes { input: Operand, size: Late<Ints>, dtype: Option<DType> = None }
        = |op| made(1, &op.size, op.dtype.unwrap_or(op.input.dtype()), Scalar::Int(1)),
        [sample().arg(wave(DType::I32, &[5])).ints(&[2, 3]).dtype(DType::F16).exact("f16")];
    /// `fill_value` everywhere, of shape `size`, in `dtype` or the type of `input`.
    NewFull { input: Operand, size: Late<Ints>, fill_value: Number, dtype: Option<DType> = None }
        = |op| made(1, &op.size, op.dtype.unwrap_or(op.input.dtype()), scalar(op.fill_value)),
        [sample().arg(wave(DType::F32, &[5])).ints(&[2, 3]).real(-1.5).none().exact("same")];
    /// Zeros of shape `size`, in `dtype` or `f32`. MindSpore leaves open what the elements are.
    Empty { size: Late<Ints>, dtype: Option<DType> = None, device: Option<i64> = None, pin_memory: bool = false }
        = |op| made(0, &op.size, op.dtype.unwrap_or(DType::F32), Scalar::Int(0)),
        [sample().ints(&[2, 3]).none().exact("f32")];
    /// Zeros with the shape of `input`, in `dtype` or its type. MindSpore leaves open what the elements are.
    EmptyLike { input: Operand, dtype: Option<DType> = None, device: Option<i64> = None, pin_memory: bool = false }
        = |op| like(&op.input, op.dtype, Scalar::Int(0)),
        [sample().arg(wave(DType::F32, &[3, 5])).none().exact("same")];
    /// Zeros of shape `size`, in `dtype` or the type of `input`. MindSpore leaves open what the elements are.
    NewEmpty { input: Operand, size: Late<Ints>, dtype: Option<DType> = None, device: Option<i64> = None }
        = |op| made(1, &op.size, op.dtype.unwrap_or(op.input.dtype()), Scalar::Int(0)),
        [sample().arg(wave(DType::I32, &[5])).ints(&[1, 16]).none().exact("same")];
    /// The distance from 1 to the next number of the type of `x`, a float type, everywhere, with its shape.
    (object) Eps { x: Operand } = |op| like(&op.x, None, Scalar::Float(epsilon(op.x.dtype())?)),
        [sample().arg(wave(DType::F32, &[3])).exact("f32"), sample().arg(wave(DType::F16, &[2])).exact("f16")];
    /// Zeros of shape `size`, in `dtype` or `f32`.
    Zeros { size ["shape"]: Late<Ints>, dtype: Option<DType> = None }
        = |op| made(0, &op.size, op.dtype.unwrap_or(DType::F32), Scalar::Int(0)),
        [sample().ints(&[2, 3]).none().exact("f32"), sample().int(4).dtype(DType::I32).exact("i32")];
    /// Ones of shape `shape`, in `dtype` or `f32`.
    Ones { shape: Late<Ints>, dtype: Option<DType> = None }
        = |op| made(0, &op.shape, op.dtype.unwrap_or(DType::F32), Scalar::Int(1)),
        [sample().ints(&[2, 3]).none().exact("f32"), sample().ints(&[3]).dtype(DType::Bool).exact("bool")];
    /// `fill_value` everywhere, of shape `size`, in `dtype`; without it a Python integer gives `i64`, a float `f32`.
    FillScalar { size: Late<Ints>, fill_value: Number, dtype: Option<DType> = None }
        = |op| made(0, &op.size, op.dtype.unwrap_or(natural(op.fill_value)), scalar(op.fill_value)),
        [sample().ints(&[2, 3]).int(7).none().exact("integer"), sample().ints(&[3]).real(0.5).dtype(DType::F16).exact("f16")];
    /// `value` everywhere, of shape `shape` and type `dtype`.
    (object) Fill { dtype ["type"]: DType, shape: Late<Ints>, value: Number } = |op| made(1, &op.shape, op.dtype, scalar(op.value)),
        [sample().dtype(DType::F32).ints(&[2, 3]).int(3).exact("f32")];
}

/// The element of `value` everywhere, as `dtype`. `dims` is the first argument.
struct Filled<'a> {
    dims: &'a Late<Ints>,
    value: &'a Operand,
    dtype: DType,
}

impl Rule for Filled<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        real(self.value)?;
        ensure!(self.value.count() == 1, "expected one value, found {}", self.value.fact);
        Ok(vec![Fact { dtype: self.dtype, shape: shape_of(self.dims.get()?)? }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, value) = (only(self.infer()?)?, only(scalars(self.value.tensor()?, self.value.dtype())?)?);
        Ok(vec![full(&fact, value)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let y = b.cast(self.value.v, self.dtype);
        let y = b.reshape(y, &[])?;
        let dims = shape_of(self.dims.get()?)?;
        if dims.contains(&0) {
            return Ok(None);
        }
        Ok(Some(vec![b.broadcast_to(y, &dims)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let value = e.as_type(self.value, self.dtype)?;
        let value = e.reshape(value, &[]);
        Extent::Given(0, self.dims).expand(e, value)
    }
}

macro_rules! spread {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident { $shape:ident, $value:ident $(, $dtype:ident)? };)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { $shape: Late<Ints>, $value: Operand $(, $dtype: Option<DType> = None)? }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let explicit: Option<DType> = [$(self.$dtype,)? None][0];
                let dtype = explicit.unwrap_or(self.$value.dtype());
                Ok(Filled { dims: &self.$shape, value: &self.$value, dtype })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().ints(&[2, 3, 5]).arg(wave(DType::F32, &[])).exact("f32"),
                    sample().ints(&[4]).arg(filled(DType::I64, &[1], |_| 7.0)).exact("one element"),
                    sample().ints(&[]).arg(wave(DType::F32, &[])).exact("scalar"),
                    sample().ints(&[0, 3]).arg(wave(DType::F32, &[])).exact("empty"),
                ]
            }
        }
    )*};
}

spread! {
    /// The element of `value` everywhere, of shape `shape`, in the type of `value`.
    (object) FillV2 { shape, value };
    /// The element of `fill_value` everywhere, of shape `size`, in `dtype` or its type.
    FillTensor { size, fill_value, dtype };
}

op! {
    /// A matrix of `n` rows and `m` columns with ones on the diagonal, in type `t`.
    Eye { n: i64, m: i64, t ["dtype"]: DType = DType::F32 }
}

impl Operator for Eye {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let fact = Fact { dtype: self.t, shape: shape_of(&[self.n, self.m])? };
        let make = |fact: &Fact| {
            let (n, cols) = (fact.count(), dim(&fact.shape, 1)?);
            let _room = room(n)?;
            let mut y = vec![0; n];
            y.iter_mut().step_by(cols + 1).take(cols).for_each(|y| *y = 1);
            Ok(Tensor::from_i64s(fact.dtype, &fact.shape, &y)?)
        };
        Ok(Numbers { fact, make })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().int(3).int(4).dtype(DType::F32).exact("wide"),
            sample().int(3).int(2).dtype(DType::I32).exact("tall"),
        ]
    }
}

/// The type of numbers that are counted up.
fn counted([start, end, step]: [Number; 3]) -> DType {
    let whole = [start, end, step].iter().all(|x| matches!(x, Number::Int(_)));
    if whole { DType::I64 } else { DType::F32 }
}

/// Number of elements from `start` in steps of `step` before `end`.
fn steps(start: Number, end: Number, step: Number) -> Result<usize, OpError> {
    ensure!(step.as_f64() != 0.0, "expected a step other than 0");
    let n = match (start, end, step) {
        (Number::Int(a), Number::Int(b), Number::Int(s)) => {
            let (a, b, s) = (i128::from(a), i128::from(b), i128::from(s));
            let n = if s > 0 { (b - a + s - 1).div_euclid(s) } else { (a - b - s - 1).div_euclid(-s) };
            n.max(0) as f64
        }
        _ => ((end.as_f64() - start.as_f64()) / step.as_f64()).ceil().max(0.0),
    };
    ensure!((0.0..=LIMIT as f64).contains(&n), "a range of {n} elements is too long");
    Ok(n as usize)
}

/// `start`, `start + step`, …, before `end`.
fn count_up(numbers: [&Late<Number>; 3], dtype: Option<DType>) -> Result<impl Rule, OpError> {
    let [start, end, step] = numbers.map(Late::get);
    let numbers = [*start?, *end?, *step?];
    let [start, end, step] = numbers;
    let n = steps(start, end, step)?;
    let make = move |fact: &Fact| {
        let _room = room(n)?;
        Ok(match (start, step) {
            (Number::Int(a), Number::Int(s)) => {
                let y: Vec<i64> = (0..n as i64).map(|i| a.wrapping_add(i.wrapping_mul(s))).collect();
                Tensor::from_i64s(fact.dtype, &[n], &y)?
            }
            _ => {
                let y: Vec<f64> = (0..n).map(|i| start.as_f64() + i as f64 * step.as_f64()).collect();
                Tensor::from_f64s(fact.dtype, &[n], &y)?
            }
        })
    };
    Ok(Numbers { fact: Fact::new(dtype.unwrap_or(counted(numbers)), &[n]), make })
}

/// `Range` over the arguments 0 to 2, in `dtype`.
fn range(e: &mut Emit, numbers: [&Late<Number>; 3], dtype: Option<DType>) -> Forms {
    let whole = numbers.iter().enumerate().all(|(i, x)| match x {
        Late::Known(x) => matches!(x, Number::Int(_)),
        Late::Computed(_) => e.operand(i).is_some_and(|x| !x.dtype().is_float()),
    });
    let wide = if whole { DType::I64 } else { DType::F32 };
    let mut edges = Vec::new();
    for (i, x) in numbers.into_iter().enumerate() {
        edges.push(e.scalar(i, x.known().map(|x| x.as_f64()), wide)?);
    }
    let y = e.op("Range", &edges);
    Ok(Some(vec![e.cast(y, wide, dtype.unwrap_or(wide))]))
}

op! {
    /// `start`, `start + step`, … before `end`, of numbers or tensors of one element. Integers give `i64`; a float gives `f32`.
    Range { start: Late<Number>, end: Late<Number>, step: Late<Number>, maxlen: i64 = 1_000_000 }
}

impl Operator for Range {
    fn rule(&self) -> Result<impl Rule, OpError> {
        count_up([&self.start, &self.end, &self.step], None)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        range(e, [&self.start, &self.end, &self.step], None)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().int(1).int(8).int(3).exact("up"),
            sample().int(8).int(1).int(-3).exact("down"),
            sample().int(8).int(1).int(3).exact("none"),
            sample().real(1.0).real(2.0).real(0.25).exact("floats"),
        ]
    }
}

op! {
    /// `start`, `start + step`, … before `end`, in `dtype`; without it integers give `i64`, a float gives `f32`.
    Arange { start: Late<Number>, end: Late<Number>, step: Late<Number>, dtype: Option<DType> = None }
}

impl Operator for Arange {
    fn rule(&self) -> Result<impl Rule, OpError> {
        count_up([&self.start, &self.end, &self.step], self.dtype)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        range(e, [&self.start, &self.end, &self.step], self.dtype)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().int(1).int(8).int(3).none().exact("up"),
            sample().int(0).int(5).int(1).dtype(DType::F32).exact("as f32"),
        ]
    }
}

/// Numbers from `start` to `stop`, both included. The second half counts from the end.
fn spaced(start: f64, stop: f64, fact: &Fact) -> Result<Tensor, OpError> {
    let n = fact.count();
    let step = if n > 1 { (stop - start) / (n - 1) as f64 } else { 0.0 };
    let at = |i: usize| if i < n / 2 || n == 1 { start + i as f64 * step } else { stop - (n - 1 - i) as f64 * step };
    let _room = room(n)?;
    let y: Vec<f64> = (0..n).map(at).collect();
    Ok(Tensor::from_f64s(fact.dtype, &[n], &y)?)
}

op! {
    /// `num` evenly spaced numbers from `start` to `stop`, both included, in the float type of `start`.
    LinSpace { start: Operand, stop: Operand, num: i64 }
}

impl Rule for LinSpace {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(
            self.start.count() == 1 && self.stop.count() == 1,
            "expected single numbers, found {} and {}",
            self.start.fact,
            self.stop.fact
        );
        ensure!(self.num > 0, "expected at least one number, found {}", self.num);
        real(&self.stop)?;
        let d = float_of(number_of(real(&self.start)?));
        Ok(vec![Fact { dtype: d, shape: shape_of(&[self.num])? }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = only(self.infer()?)?;
        Ok(vec![spaced(only(self.start.f64s()?)?, only(self.stop.f64s()?)?, &fact)?])
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().real(1.0).real(10.0).int(5).case("five"),
            sample().real(1.0).real(10.0).int(1).exact("one"),
            sample().real(3.0).real(-3.0).int(4).case("down"),
        ]
    }
}

op! {
    /// `steps` evenly spaced numbers from `start` to `end`, both included, in `dtype` or `f32`.
    LinSpaceExt { start: f64, end: f64, steps: i64, dtype: Option<DType> = None }
}

impl Operator for LinSpaceExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let fact = Fact { dtype: self.dtype.unwrap_or(DType::F32), shape: shape_of(&[self.steps])? };
        Ok(Numbers { fact, make: |fact: &Fact| spaced(self.start, self.end, fact) })
    }

    fn cases() -> Vec<Case> {
        vec![sample().int(1).int(10).int(5).none().case("five"), sample().int(1).int(10).int(0).exact("none")]
    }
}
