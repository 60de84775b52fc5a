//! Random numbers. Without a seed they follow from the name of the result, so that no two nodes have the same.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, element_type};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("Bernoulli", |m, c| bernoulli(m, c)),
    ("RandomNormal", |m, c| drawn(m, c, "StandardNormal", ["mean", "scale"])),
    ("RandomNormalLike", |m, c| drawn(m, c, "StandardNormal", ["mean", "scale"])),
    ("RandomUniform", |m, c| drawn(m, c, "UniformReal", ["low", "high"])),
    ("RandomUniformLike", |m, c| drawn(m, c, "UniformReal", ["low", "high"])),
];

/// Two seeds of a node.
fn seeds(c: &Call) -> [i64; 2] {
    let name = c.node.output.first().map_or("", String::as_str);
    let hash = name.bytes().fold(0i64, |hash, byte| hash.wrapping_mul(31).wrapping_add(i64::from(byte)));
    match c.attr("seed").and_then(|a| a.f) {
        Some(seed) => [i64::from(seed.to_bits()), 0],
        None => [hash & i64::from(i32::MAX), 1],
    }
}

/// `name`, an operator of MindSpore that takes a shape and seeds, as `f32`.
pub(super) fn numbers(m: &mut Import, c: &Call, name: &'static str, shape: Val) -> Step {
    let [first, second] = seeds(c);
    m.op(name, vec![shape.into(), first.into(), second.into()])
}

/// Numbers in the shape of the operand, or in one that the node states, moved from 0 and 1 to where it wants them.
fn drawn(m: &mut Import, c: &Call, name: &'static str, [first, second]: [&str; 2]) -> Steps {
    let shape = match (c.option(0), c.ints("shape")) {
        (Some(x), _) => dims_of(m, &x)?,
        (None, Some(shape)) => m.vector(&shape),
        (None, None) => return Err("there is no shape".into()),
    };
    let like = c.option(0).map_or(DType::F32, |x| x.dtype());
    let dtype = if c.has("dtype") { element_type(c.int("dtype", 1))? } else { like };
    let (low, high) = (c.float(first, 0.0), c.float(second, 1.0));
    let width = if name == "UniformReal" { high - low } else { high };
    let y = numbers(m, c, name, shape)?;
    let y = m.with("Mul", &y, width)?;
    let y = m.with("Add", &y, low)?;
    Ok(vec![as_type(m, y, dtype)?])
}

/// 1 with the probability that the operand states.
fn bernoulli(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let dtype = if c.has("dtype") { element_type(c.int("dtype", 1))? } else { x.dtype() };
    let shape = dims_of(m, &x)?;
    let y = numbers(m, c, "UniformReal", shape)?;
    let y = as_type(m, y, x.dtype())?;
    let y = m.two("Less", &y, &x)?;
    Ok(vec![as_type(m, y, dtype)?])
}
