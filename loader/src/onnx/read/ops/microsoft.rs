//! Operators of ONNX Runtime's own domain.

use super::Row;
use super::activation::Activation;
use super::convolution::convolved;
use super::element::{as_type, exact_gelu, swished};
use super::integers::{dynamic_bytes, integer_product};
use super::layer::{gemm, layer_normed, rms_normed};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("BiasAdd", |m, c| bias_add(m, c)),
    ("BiasGelu", |m, c| bias_gelu(m, c)),
    ("DynamicQuantizeMatMul", |m, c| dynamic_matmul(m, c)),
    ("FastGelu", |m, c| fast_gelu(m, c)),
    ("FusedConv", |m, c| fused_conv(m, c)),
    ("FusedGemm", |m, c| fused_gemm(m, c)),
    ("FusedMatMul", |m, c| fused_matmul(m, c)),
    ("Inverse", |m, c| Ok(vec![m.op("MatrixInverse", vec![c.input(0)?.into(), false.into()])?])),
    ("MatMulIntegerToFloat", |m, c| float_matmul(m, c)),
    ("QuickGelu", |m, c| Ok(vec![swished(m, &c.input(0)?, c.float("alpha", 1.702))?])),
    ("SkipLayerNormalization", |m, c| skip_layer_norm(m, c)),
    ("SkipSimplifiedLayerNormalization", |m, c| skip_rms_norm(m, c)),
    ("TransposeMatMul", |m, c| fused_matmul(m, c)),
];

fn plus(m: &mut Import, x: Val, more: Option<Val>) -> Step {
    more.map_or(Ok(x.clone()), |more| m.two("Add", &x, &more))
}

/// Both operands and the bias of the last dimension added.
fn bias_add(m: &mut Import, c: &Call) -> Steps {
    let x = m.two("Add", &c.input(0)?, &c.input(1)?)?;
    Ok(vec![m.two("Add", &x, &c.input(2)?)?])
}

fn bias_gelu(m: &mut Import, c: &Call) -> Steps {
    let x = plus(m, c.input(0)?, c.option(1))?;
    Ok(vec![exact_gelu(m, x)?])
}

fn fast_gelu(m: &mut Import, c: &Call) -> Steps {
    let x = plus(m, c.input(0)?, c.option(1))?;
    Ok(vec![m.one("GeLU", &x)?])
}

fn fused_matmul(m: &mut Import, c: &Call) -> Steps {
    if c.int("transBatchA", 0) == 1 || c.int("transBatchB", 0) == 1 {
        return Err("batches behind the rows are not supported".into());
    }
    let turned = |m: &mut Import, x: Val, name: &str| -> Step {
        let rank = x.rank()? as i64;
        if c.int(name, 0) != 1 || rank < 2 {
            return Ok(x);
        }
        let perm: Vec<i64> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        m.transposed(&x, &perm)
    };
    let (a, b) = (turned(m, c.input(0)?, "transA")?, turned(m, c.input(1)?, "transB")?);
    let y = m.two("MatMulExt", &a, &b)?;
    Ok(vec![m.with("Mul", &y, c.float("alpha", 1.0))?])
}

/// A convolution of `x`, plus the last operand, and a function of that.
fn fused_conv(m: &mut Import, c: &Call) -> Steps {
    let y = convolved(m, c, c.input(0)?, c.input(1)?, c.option(2))?;
    let y = plus(m, y, c.option(3))?;
    let params = c.floats("activation_params").unwrap_or_default();
    Ok(vec![activated(m, c, y, [params.first(), params.get(1)].map(|p| p.map(|p| f64::from(*p))))?])
}

fn fused_gemm(m: &mut Import, c: &Call) -> Steps {
    let y = gemm(m, c)?.pop().ok_or("there is no result")?;
    let param = |name: &str| c.has(name).then(|| c.float(name, 0.0));
    Ok(vec![activated(m, c, y, [param("activation_alpha"), param("activation_beta")])?])
}

/// The function of `y` that the node names, if it names one.
fn activated(m: &mut Import, c: &Call, y: Val, params: [Option<f64>; 2]) -> Step {
    match (c.text("activation", "").as_str(), params) {
        ("", _) => Ok(y),
        ("Clip", [Some(low), Some(high)]) => m.clamped(&y, low, high),
        (name, params) => Activation::named(name, params)?.apply(m, &y),
    }
}

/// The sum of both operands is normalised; whoever wants it is given it as result 3.
fn skip_layer_norm(m: &mut Import, c: &Call) -> Steps {
    let sum = m.two("Add", &c.input(0)?, &c.input(1)?)?;
    let sum = plus(m, sum, c.option(4))?;
    let mut results = layer_normed(m, c, &sum, [c.option(2), c.option(3)], c.float("epsilon", 1e-12))?;
    results.push(sum);
    Ok(results)
}

fn skip_rms_norm(m: &mut Import, c: &Call) -> Steps {
    let sum = m.two("Add", &c.input(0)?, &c.input(1)?)?;
    let sum = plus(m, sum, c.option(3))?;
    let y = rms_normed(m, &sum, c.input(2)?, -1, c.float("epsilon", 1e-12))?;
    if c.wants(1) || c.wants(2) {
        return Err("statistics are not supported".into());
    }
    Ok(vec![y, sum.clone(), sum.clone(), sum])
}

/// A product of integers times both scales.
fn scaled(m: &mut Import, y: Val, scales: [Val; 2], bias: Option<Val>) -> Step {
    let [a, b] = scales;
    let factor = m.two("Mul", &a, &b)?;
    let y = as_type(m, y, factor.dtype())?;
    let y = m.two("Mul", &y, &factor)?;
    plus(m, y, bias)
}

fn float_matmul(m: &mut Import, c: &Call) -> Steps {
    let y = integer_product(m, [c.input(0)?, c.input(1)?], [c.option(4), c.option(5)])?;
    Ok(vec![scaled(m, y, [c.input(2)?, c.input(3)?], c.option(6))?])
}

fn dynamic_matmul(m: &mut Import, c: &Call) -> Steps {
    let [a, scale, zero] = dynamic_bytes(m, &c.input(0)?)?;
    let y = integer_product(m, [a, c.input(1)?], [Some(zero), c.option(3)])?;
    Ok(vec![scaled(m, y, [scale, c.input(2)?], c.option(4))?])
}
