//! Functions of elements.

use mindir_graph::DType;

use super::Row;
use super::random::numbers;
use super::shape::{dims_of, element_type};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};
use crate::onnx::read::narrow::Narrow;

macro_rules! rows {
    ($($onnx:literal = $f:expr,)*) => { &[$(($onnx, $f)),*] };
}

/// Operators that MindSpore has under the same name.
macro_rules! same {
    ($build:ident: $($name:ident),*) => { &[$((stringify!($name), |m, c| $build(m, c, stringify!($name)))),*] };
}

pub(super) static ONE: &[Row] = same! { one:
    Abs, Acosh, Asin, Asinh, Atan, Atanh, BitwiseNot, Ceil, Cos, Cosh, Erf, Exp, Floor, Log, Mish, Neg, Reciprocal,
    Sigmoid, Sign, Sin, Sinh, Softplus, Softsign, Sqrt, Tan, Tanh
};

pub(super) static TWO: &[Row] = same! { two:
    Add, BitwiseAnd, BitwiseOr, BitwiseXor, Equal, Greater, Less, Mul, Sub
};

pub(super) static OPS: &[Row] = rows! {
    "Acos" = |m, c| one(m, c, "ACos"),
    "And" = |m, c| two(m, c, "LogicalAnd"),
    "BitShift" = |m, c| bit_shift(m, c),
    "Cast" = |m, c| cast(m, c),
    "CastLike" = |m, c| cast_like(m, c),
    "Celu" = |m, c| with_alpha(m, c, "CeLU", 1.0),
    "Clip" = |m, c| clip(m, c),
    "Div" = |m, c| div(m, c),
    "Dropout" = |m, c| dropout(m, c),
    "Elu" = |m, c| with_alpha(m, c, "Elu", 1.0),
    "Gelu" = |m, c| gelu(m, c),
    "GreaterOrEqual" = |m, c| two(m, c, "GreaterEqual"),
    "HardSigmoid" = |m, c| hard_sigmoid(m, c),
    "HardSwish" = |m, c| one(m, c, "HSwish"),
    "Identity" = |_, c| Ok(vec![c.input(0)?]),
    "IsInf" = |m, c| is_inf(m, c),
    "IsNaN" = |m, c| one(m, c, "IsNan"),
    "LeakyRelu" = |m, c| leaky_relu(m, c),
    "LessOrEqual" = |m, c| two(m, c, "LessEqual"),
    "Max" = |m, c| many(m, c, "Maximum"),
    "Mean" = |m, c| mean(m, c),
    "Min" = |m, c| many(m, c, "Minimum"),
    "Mod" = |m, c| two(m, c, if c.int("fmod", 0) == 1 { "Mod" } else { "FloorMod" }),
    "Not" = |m, c| one(m, c, "LogicalNot"),
    "Or" = |m, c| two(m, c, "LogicalOr"),
    "PRelu" = |m, c| prelu(m, c),
    "Pow" = |m, c| pow(m, c),
    "Relu" = |m, c| one(m, c, "ReLU"),
    "Round" = |m, c| one(m, c, "Rint"),
    "Selu" = |m, c| selu(m, c),
    "Shrink" = |m, c| shrink(m, c),
    "Sum" = |m, c| many(m, c, "Add"),
    "SwiGLU" = |m, c| swiglu(m, c),
    "Swish" = |m, c| swish(m, c),
    "ThresholdedRelu" = |m, c| thresholded(m, c),
    "Where" = |m, c| choose(m, c),
    "Xor" = |m, c| two(m, c, "LogicalXor"),
};

fn one(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    Ok(vec![m.op(name, vec![c.input(0)?.into()])?])
}

fn two(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let (a, b) = (c.input(0)?, c.input(1)?);
    let b = old_broadcast(m, c, &a, b)?;
    Ok(vec![m.op(name, vec![a.into(), b.into()])?])
}

/// As many places as a number has or more, or less than none, leave nothing of it, or its sign. MindSpore counts places modulo
/// the width of a machine word.
fn bit_shift(m: &mut Import, c: &Call) -> Steps {
    let (x, places) = (c.input(0)?, c.input(1)?);
    let most = x.dtype().size() as f64 * 8.0 - 1.0;
    let below = m.with("LessEqual", &places, most)?;
    let above = m.with("GreaterEqual", &places, 0.0)?;
    let some = m.two("LogicalAnd", &below, &above)?;
    let places = m.select_or(&some, &places, most)?;
    let is_signed = matches!(x.dtype(), DType::I8 | DType::I16 | DType::I32 | DType::I64);
    let y = match c.text("direction", "").as_str() {
        "LEFT" => m.two("LeftShift", &x, &places)?,
        "RIGHT" if is_signed => return Ok(vec![m.two("RightShift", &x, &places)?]),
        "RIGHT" => m.two("RightShift", &x, &places)?,
        other => return Err(format!("direction {other} is not supported")),
    };
    Ok(vec![m.select_or(&some, &y, 0.0)?])
}

/// The second operand of an arithmetic operator before set 7 may start at a dimension of the first.
fn old_broadcast(m: &mut Import, c: &Call, a: &Val, b: Val) -> Step {
    if !c.has("broadcast") || !c.has("axis") {
        return Ok(b);
    }
    let rank = b.rank()?;
    let behind = a.rank()?.saturating_sub(a.axis(c.int("axis", 0))?).saturating_sub(rank);
    (0..behind).try_fold(b, |b, _| m.op("ExpandDims", vec![b.into(), (rank as i64).into()]))
}

fn many(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let mut y = c.input(0)?;
    for i in 1..c.inputs.len() {
        y = m.op(name, vec![y.into(), c.input(i)?.into()])?;
    }
    Ok(vec![y])
}

fn mean(m: &mut Import, c: &Call) -> Steps {
    let sum = many(m, c, "Add")?.pop().ok_or("there are no operands")?;
    let n = m.scalar(sum.dtype(), c.inputs.len() as f64)?;
    Ok(vec![m.op("Div", vec![sum.into(), n.into()])?])
}

/// Integers are divided without their fraction.
fn div(m: &mut Import, c: &Call) -> Steps {
    let whole = !c.input(0)?.dtype().is_float();
    if !whole {
        return two(m, c, "Div");
    }
    let args = vec![c.input(0)?.into(), c.input(1)?.into(), "trunc".into()];
    Ok(vec![m.op("DivMod", args)?])
}

/// The result has the type of the base.
fn pow(m: &mut Import, c: &Call) -> Steps {
    let (x, y) = (c.input(0)?, c.input(1)?);
    let square = y.constant().is_some_and(|t| t.count() == 1 && t.shape().is_empty()) && y.number() == Ok(2.0);
    if square {
        return Ok(vec![m.op("Square", vec![x.into()])?]);
    }
    let d = x.dtype();
    let p = m.op("Pow", vec![x.into(), y.into()])?;
    Ok(vec![as_type(m, p, d)?])
}

/// `x` as `dtype`.
pub(in crate::onnx::read) fn as_type(m: &mut Import, x: Val, dtype: DType) -> Step {
    if x.dtype() == dtype { Ok(Val { narrow: None, ..x }) } else { m.op("Cast", vec![x.into(), dtype.into()]) }
}

fn cast(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    if let Some(narrow) = Narrow::named(c.int("to", 0)) {
        return Ok(vec![narrow.cast(m, &x, c.int("saturate", 1) == 1, &c.text("round_mode", "up"))?]);
    }
    let dtype = element_type(c.int("to", 0))?;
    Ok(vec![as_type(m, x, dtype)?])
}

fn cast_like(m: &mut Import, c: &Call) -> Steps {
    let (x, like) = (c.input(0)?, c.input(1)?);
    if let Some(narrow) = like.narrow {
        return Ok(vec![narrow.cast(m, &x, c.int("saturate", 1) == 1, &c.text("round_mode", "up"))?]);
    }
    Ok(vec![as_type(m, x, like.dtype())?])
}

fn clip(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let (low, high) = if c.opset < 11 {
        let bound = |m: &mut Import, name| c.has(name).then(|| m.scalar(x.dtype(), c.float(name, 0.0))).transpose();
        (bound(m, "min")?, bound(m, "max")?)
    } else {
        (c.option(1), c.option(2))
    };
    let is = |v: &Option<Val>, n: f64| v.as_ref().is_some_and(|v| v.number() == Ok(n));
    if is(&low, 0.0) && is(&high, 6.0) {
        return Ok(vec![m.op("ReLU6", vec![x.into()])?]);
    }
    let mut y = x;
    for (name, bound) in [("Maximum", low), ("Minimum", high)] {
        if let Some(bound) = bound {
            y = m.op(name, vec![y.into(), bound.into()])?;
        }
    }
    Ok(vec![y])
}

fn dropout(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    if c.option(2).is_some_and(|t| t.number() != Ok(0.0)) {
        return dropped(m, c, &x);
    }
    if !c.wants(1) {
        return Ok(vec![x]);
    }
    let ones = m.op("OnesLike", vec![(&x).into()])?;
    let mask = as_type(m, ones, DType::Bool)?;
    Ok(vec![x, mask])
}

/// Elements are kept with probability `1 − ratio` and then divided by it, if the model trains.
fn dropped(m: &mut Import, c: &Call, x: &Val) -> Steps {
    let ratio = match c.option(1) {
        Some(ratio) => as_type(m, ratio, DType::F32)?,
        None => m.scalar(DType::F32, 0.5)?,
    };
    let training = as_type(m, c.input(2)?, DType::F32)?;
    let ratio = m.two("Mul", &ratio, &training)?;
    let shape = dims_of(m, x)?;
    let numbers = numbers(m, c, "UniformReal", shape)?;
    let mask = m.two("GreaterEqual", &numbers, &ratio)?;
    let (one, ratio) = (m.scalar(x.dtype(), 1.0)?, as_type(m, ratio, x.dtype())?);
    let share = m.two("Sub", &one, &ratio)?;
    let y = m.two("Div", x, &share)?;
    Ok(vec![m.select_or(&mask, &y, 0.0)?, mask])
}

fn gelu(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    if c.text("approximate", "none") == "tanh" {
        return Ok(vec![m.op("GeLU", vec![x.into()])?]);
    }
    Ok(vec![exact_gelu(m, x)?])
}

/// `x / 2 · (1 + erf(x / √2))`.
pub(super) fn exact_gelu(m: &mut Import, x: Val) -> Step {
    let y = m.with("Mul", &x, std::f64::consts::FRAC_1_SQRT_2)?;
    let y = m.one("Erf", &y)?;
    let y = m.with("Add", &y, 1.0)?;
    let y = m.two("Mul", &x, &y)?;
    m.with("Mul", &y, 0.5)
}

fn hard_sigmoid(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let (alpha, beta) = (c.float("alpha", 0.2), c.float("beta", 0.5));
    if (alpha - 1.0 / 6.0).abs() < 1e-6 && beta == 0.5 {
        return Ok(vec![m.op("HSigmoid", vec![x.into()])?]);
    }
    let d = x.dtype();
    let [alpha, beta, zero, one] = [m.scalar(d, alpha)?, m.scalar(d, beta)?, m.scalar(d, 0.0)?, m.scalar(d, 1.0)?];
    let y = m.op("Mul", vec![x.into(), alpha.into()])?;
    let y = m.op("Add", vec![y.into(), beta.into()])?;
    let y = m.op("Maximum", vec![y.into(), zero.into()])?;
    Ok(vec![m.op("Minimum", vec![y.into(), one.into()])?])
}

fn with_alpha(m: &mut Import, c: &Call, name: &'static str, otherwise: f32) -> Steps {
    Ok(vec![m.op(name, vec![c.input(0)?.into(), c.float("alpha", otherwise).into()])?])
}

fn is_inf(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let (below, above) = (c.int("detect_negative", 1) == 1, c.int("detect_positive", 1) == 1);
    let y = m.op("IsInf", vec![(&x).into()])?;
    if below && above {
        return Ok(vec![y]);
    }
    let zero = m.scalar(x.dtype(), 0.0)?;
    let side = match (below, above) {
        (true, _) => m.op("Less", vec![x.into(), zero.into()])?,
        (_, true) => m.op("Greater", vec![x.into(), zero.into()])?,
        _ => m.op("NotEqual", vec![(&x).into(), (&x).into()])?,
    };
    Ok(vec![m.op("LogicalAnd", vec![y.into(), side.into()])?])
}

/// `x` where it is above 0, else `slope · x`; as MindSpore's cell writes it.
fn leaky_relu(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let slope = m.scalar(x.dtype(), c.float("alpha", 0.01))?;
    let y = m.op("Mul", vec![(&x).into(), slope.into()])?;
    let zero = m.scalar(x.dtype(), 0.0)?;
    let above = m.op("Greater", vec![(&x).into(), zero.into()])?;
    Ok(vec![m.op("Select", vec![above.into(), x.into(), y.into()])?])
}

/// Before set 7 there is one slope for each channel, or one for all.
fn prelu(m: &mut Import, c: &Call) -> Steps {
    let (x, mut slope) = (c.input(0)?, c.input(1)?);
    if c.opset < 7 && slope.rank() == Ok(1) {
        let behind = x.rank()?.saturating_sub(2);
        slope = m.with_ones(&slope, &(1..=behind as i64).collect::<Vec<_>>())?;
    }
    let zero = m.scalar(x.dtype(), 0.0)?;
    let y = m.op("Mul", vec![(&x).into(), slope.into()])?;
    let above = m.op("GreaterEqual", vec![(&x).into(), zero.into()])?;
    Ok(vec![m.op("Select", vec![above.into(), x.into(), y.into()])?])
}

fn selu(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let (alpha, gamma) = (c.float("alpha", 1.673_263_2), c.float("gamma", 1.050_701));
    let d = x.dtype();
    let (zero, one) = (m.scalar(d, 0.0)?, m.scalar(d, 1.0)?);
    let e = m.op("Exp", vec![(&x).into()])?;
    let e = m.op("Sub", vec![e.into(), one.into()])?;
    let alpha = m.scalar(d, alpha)?;
    let e = m.op("Mul", vec![e.into(), alpha.into()])?;
    let above = m.op("Greater", vec![(&x).into(), zero.into()])?;
    let y = m.op("Select", vec![above.into(), x.into(), e.into()])?;
    let gamma = m.scalar(d, gamma)?;
    Ok(vec![m.op("Mul", vec![y.into(), gamma.into()])?])
}

fn thresholded(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let (alpha, zero) = (m.scalar(x.dtype(), c.float("alpha", 1.0))?, m.scalar(x.dtype(), 0.0)?);
    let above = m.op("Greater", vec![(&x).into(), alpha.into()])?;
    Ok(vec![m.op("Select", vec![above.into(), x.into(), zero.into()])?])
}

fn swish(m: &mut Import, c: &Call) -> Steps {
    Ok(vec![swished(m, &c.input(0)?, c.float("alpha", 1.0))?])
}

fn swiglu(m: &mut Import, c: &Call) -> Steps {
    let gate = swished(m, &c.input(0)?, c.float("alpha", 1.0))?;
    Ok(vec![m.two("Mul", &gate, &c.input(1)?)?])
}

/// What is beyond `lambd` on either side, nearer to 0 by `bias`; else 0.
fn shrink(m: &mut Import, c: &Call) -> Steps {
    let (x, bias, far) = (c.input(0)?, c.float("bias", 0.0), c.float("lambd", 0.5));
    let wide = if x.dtype().is_float() { x.clone() } else { m.cast(&x, DType::F64)? };
    let (below, above) = (m.with("Less", &wide, -far)?, m.with("Greater", &wide, far)?);
    let (up, down) = (m.with("Add", &wide, bias)?, m.with("Sub", &wide, bias)?);
    let y = m.select_or(&above, &down, 0.0)?;
    let y = m.select(&below, &up, &y)?;
    Ok(vec![as_type(m, y, x.dtype())?])
}

/// `x · sigmoid(alpha · x)`.
pub(super) fn swished(m: &mut Import, x: &Val, alpha: f64) -> Step {
    let y = m.with("Mul", x, alpha)?;
    let y = m.one("Sigmoid", &y)?;
    m.two("Mul", x, &y)
}

fn choose(m: &mut Import, c: &Call) -> Steps {
    let args = vec![c.input(0)?.into(), c.input(1)?.into(), c.input(2)?.into()];
    Ok(vec![m.op("Select", args)?])
}
