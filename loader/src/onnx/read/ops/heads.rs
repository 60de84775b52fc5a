//! Attention as ONNX Runtime's own domain has it.

use mindir_graph::{DType, Tensor};

use super::Row;
use super::attention::{Attended, Masks, by_heads, divided, side_by_side, turned};
use super::element::as_type;
use super::integers::integer_product;
use super::layer::{flat_product, layer_normed};
use super::shape::{dims_of, join, length, places, reshaped, times};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("Attention", |m, c| attention(m, c)),
    ("EmbedLayerNormalization", |m, c| embedded(m, c)),
    ("GroupQueryAttention", |m, c| grouped(m, c)),
    ("MultiHeadAttention", |m, c| multi_head(m, c)),
    ("QAttention", |m, c| quantized_attention(m, c)),
    ("RotaryEmbedding", |m, c| rotary(m, c)),
];

/// Part `i` of `x` along `axis`, which goes.
fn item(m: &mut Import, x: &Val, i: i64, axis: i64) -> Step {
    let at = m.constant(Tensor::scalar(i));
    m.gathered(x, &at, axis)
}

/// The tensors one behind the other along a new first dimension.
fn stacked(m: &mut Import, parts: [&Val; 2]) -> Step {
    let parts = parts.into_iter().map(|p| m.with_ones(p, &[0])).collect::<Result<Vec<_>, _>>()?;
    join(m, parts, 0)
}

/// The mask of a node over keys `k`, for `batch` rows: lengths of the rows, or numbers above 0 where there is attention.
fn of_keys(m: &mut Import, c: &Call, masks: &mut Masks, mask: &Val, q: &Val, k: &Val) -> Result<(), String> {
    let allowed = match mask.rank()? {
        1 => {
            let keys = length(m, k, 2)?;
            let at = places(m, keys)?;
            let mask = as_type(m, mask.clone(), DType::I64)?;
            if let (Some(all), Some(batch)) = (mask.length(0), q.length(0))
                && all != batch
            {
                return Err(format!("a mask of {all} numbers for {batch} rows is not supported"));
            }
            let ends = m.with_ones(&mask, &[1, 2, 3])?;
            m.two("Less", &at, &ends)?
        }
        rank @ (2 | 3) => {
            let mask = m.with_ones(mask, if rank == 2 { &[1, 2] } else { &[1] })?;
            m.with("Greater", &mask, 0.0)?
        }
        rank => return Err(format!("a mask of rank {rank} is not supported")),
    };
    let none = m.scalar(q.dtype(), 0.0)?;
    let bias = m.select_or(&allowed, &none, c.float("mask_filter_value", -10000.0))?;
    masks.add(m, bias)
}

/// Every query sees all that is `past` and, of its own node, the keys up to its own place; the last query all keys, as in ONNX Runtime.
fn causal(m: &mut Import, masks: &mut Masks, q: &Val, k: &Val, past: Option<&Val>) -> Result<(), String> {
    let (queries, keys) = (length(m, q, 2)?, length(m, k, 2)?);
    let own = places(m, queries.clone())?;
    let final_one = m.with("Sub", &queries, 1.0)?;
    let is_last = m.two("Equal", &own, &final_one)?;
    let last = match past {
        Some(past) => {
            let before = length(m, past, 2)?;
            m.two("Add", &own, &before)?
        }
        None => own,
    };
    let last = m.select(&is_last, &keys, &last)?;
    let (last, at) = (m.with_ones(&last, &[1])?, places(m, keys)?);
    let allowed = m.two("LessEqual", &at, &last)?;
    masks.forbid(m, &allowed, q.dtype())
}

/// `x` behind what was there before.
fn behind(m: &mut Import, past: Option<Val>, x: Val) -> Step {
    match past {
        Some(past) => join(m, vec![past, x], 2),
        None => Ok(x),
    }
}

/// Attention of queries, keys and values by heads under the mask, and the addition to products, of a node. The first keys are `past`.
fn masked(m: &mut Import, c: &Call, [q, k, v]: [&Val; 3], past: Option<&Val>, [mask, bias]: [Option<Val>; 2]) -> Step {
    let mut masks = Masks::default();
    if let Some(mask) = mask {
        of_keys(m, c, &mut masks, &mask, q, k)?;
    }
    if let Some(bias) = bias {
        masks.add(m, bias)?;
    }
    if c.int("unidirectional", 0) == 1 {
        causal(m, &mut masks, q, k, past)?;
    }
    let y = Attended::of(m, c, [q, k, v], &masks)?.y;
    side_by_side(m, &y)
}

/// Queries, keys and values are one product of the operand.
fn attention(m: &mut Import, c: &Call) -> Steps {
    let product = flat_product(m, c.input(0)?, c.input(1)?, false)?;
    let product = match c.option(2) {
        Some(bias) => m.two("Add", &product, &bias)?,
        None => product,
    };
    projected(m, c, &product, [c.option(3), c.option(4), c.option(5)])
}

/// As [`attention`], of bytes.
fn quantized_attention(m: &mut Import, c: &Call) -> Steps {
    let product = integer_product(m, [c.input(0)?, c.input(1)?], [c.option(6), c.option(7)])?;
    let scale = m.two("Mul", &c.input(3)?, &c.input(4)?)?;
    let product = as_type(m, product, scale.dtype())?;
    let product = m.two("Mul", &product, &scale)?;
    let product = m.two("Add", &product, &c.input(2)?)?;
    projected(m, c, &product, [c.option(5), c.option(8), None])
}

/// Attention of what `[batch, steps, queries + keys + values]` holds.
fn projected(m: &mut Import, c: &Call, product: &Val, [mask, past, bias]: [Option<Val>; 3]) -> Steps {
    if c.int("do_rotary", 0) == 1 || c.int("past_present_share_buffer", 0) == 1 {
        return Err("rotations and shared buffers are not supported".into());
    }
    let (all, heads) = (product.dim(2)?, c.int("num_heads", 0));
    let sizes = c.ints("qkv_hidden_sizes").filter(|s| s.len() == 3).unwrap_or_else(|| vec![all / 3; 3]);
    let parts = m.op_n("SplitWithSize", vec![product.into(), sizes.into(), 2i64.into()], 3)?;
    let [q, k, v] = parts.as_slice() else { return Err("there are not three parts".into()) };
    let (q, k, v) = (by_heads(m, q, heads)?, by_heads(m, k, heads)?, by_heads(m, v, heads)?);
    let past = |m: &mut Import, i: i64| past.as_ref().map(|past| item(m, past, i, 0)).transpose();
    let (past_k, past_v) = (past(m, 0)?, past(m, 1)?);
    let (k, v) = (behind(m, past_k.clone(), k)?, behind(m, past_v, v)?);
    let mut results = vec![masked(m, c, [&q, &k, &v], past_k.as_ref(), [mask, bias])?];
    if c.wants(1) {
        results.push(stacked(m, [&k, &v])?);
    }
    Ok(results)
}

fn multi_head(m: &mut Import, c: &Call) -> Steps {
    let (q, heads) = (c.input(0)?, c.int("num_heads", 0));
    let (Some(k), Some(v)) = (c.option(1), c.option(2)) else {
        return Err("keys and values within the queries are not supported".into());
    };
    let [q, k, v] = with_bias(m, c.option(3), [q, k, v])?;
    let (q, k, v) = (by_heads(m, &q, heads)?, by_heads(m, &k, heads)?, by_heads(m, &v, heads)?);
    let (k, v) = (behind(m, c.option(6), k)?, behind(m, c.option(7), v)?);
    let y = masked(m, c, [&q, &k, &v], c.option(6).as_ref(), [c.option(4), c.option(5)])?;
    Ok(vec![y, k, v])
}

/// Each operand plus its part of the bias of all; those of four dimensions have had it.
fn with_bias(m: &mut Import, bias: Option<Val>, parts: [Val; 3]) -> Result<[Val; 3], String> {
    let Some(bias) = bias else { return Ok(parts) };
    let (q, v) = (parts[0].dim(2)?, bias.dim(0)?);
    let sizes = vec![q, q, v - 2 * q];
    let own = m.op_n("SplitWithSize", vec![bias.into(), sizes.into(), 0i64.into()], 3)?;
    let mut sums = Vec::new();
    for (part, bias) in parts.iter().zip(&own) {
        sums.push(if part.rank()? == 3 { m.two("Add", part, bias)? } else { part.clone() });
    }
    sums.try_into().map_err(|_| "there are not three parts".into())
}

/// Rows `at`, `[batch, steps]`, of every head of `x`, `[batch, heads, rows, size]`.
fn rows(m: &mut Import, x: &Val, at: &Val) -> Step {
    let (batch, heads, count) = (length(m, x, 0)?, length(m, x, 1)?, length(m, x, 2)?);
    let size = length(m, x, 3)?;
    let all = times(m, &batch, &heads)?;
    let first = places(m, all)?;
    let first = m.two("Mul", &first, &count)?;
    let one = m.vector(&[1]);
    let first = reshaped(m, first, vec![batch, heads, one])?;
    let at = m.with_ones(at, &[1])?;
    let at = m.two("Add", &first, &at)?;
    let open = m.vector(&[-1]);
    let flat = reshaped(m, x.clone(), vec![open, size])?;
    m.gathered(&flat, &at, 0)
}

/// Several heads of queries for each of keys and values, whose steps so far may be as many in a buffer as it has room for.
fn grouped(m: &mut Import, c: &Call) -> Steps {
    if (11..16).any(|i| c.option(i).is_some())
        || c.int("smooth_softmax", 0) == 1
        || c.int("sliding_window_cache", 0) == 1
    {
        return Err("sinks, bytes as keys and norms of queries are not supported".into());
    }
    let [heads, own] = [c.int("num_heads", 0), c.int("kv_num_heads", 0)];
    let parts = match (c.option(1), c.option(2)) {
        (Some(k), Some(v)) => vec![c.input(0)?, k, v],
        _ => {
            let all = own.checked_mul(2).and_then(|both| both.checked_add(heads)).filter(|all| *all > 0);
            let size = c.input(0)?.dim(2)?.checked_div(all.unwrap_or(0)).ok_or("there are no heads")?;
            let sizes = [heads, own, own].map(|n| n.saturating_mul(size)).to_vec();
            m.op_n("SplitWithSize", vec![c.input(0)?.into(), sizes.into(), 2i64.into()], 3)?
        }
    };
    let [q, k, v] = parts.as_slice() else { return Err("there are not three parts".into()) };
    let steps = length(m, q, 1)?;
    let totals = as_type(m, c.input(5)?, DType::I64)?;
    let totals = m.op("Reshape", vec![totals.into(), vec![-1, 1].into()])?;
    let totals = m.with("Add", &totals, 1.0)?;
    let before = m.two("Sub", &totals, &steps)?;
    let before = m.with("Maximum", &before, 0.0)?;
    let at = places(m, steps.clone())?;
    let at = m.two("Add", &before, &at)?;
    let angles = if c.int("do_rotary", 0) == 1 {
        let position = c.option(9).unwrap_or_else(|| at.clone());
        let (cos, sin) = (m.gathered(&c.input(7)?, &position, 0)?, m.gathered(&c.input(8)?, &position, 0)?);
        Some([cos, sin])
    } else {
        None
    };
    let arranged = |m: &mut Import, x: &Val, heads: i64| {
        let x = divided(m, x, heads)?;
        let x = match &angles {
            Some([cos, sin]) => {
                let dim = cos.length(2).map_or(0, |half| half.saturating_mul(2));
                let dim = if x.length(3) == Some(dim) { 0 } else { dim };
                turned(m, &x, [cos, sin], dim, c.int("rotary_interleaved", 0) == 1)?
            }
            None => x,
        };
        m.transposed(&x, &[0, 2, 1, 3])
    };
    let (q, k, v) = (arranged(m, q, heads)?, arranged(m, k, own)?, by_heads(m, v, own)?);
    let total = as_type(m, c.input(6)?, DType::I64)?;
    let total = m.op("Reshape", vec![total.into(), vec![1].into()])?;
    let (k, v) = match (c.option(3), c.option(4)) {
        (Some(past_k), Some(past_v)) => {
            let (at, held) = kept(m, &past_k, [&before, &steps, &total])?;
            let (k, v) = (join(m, vec![past_k, k], 2)?, join(m, vec![past_v, v], 2)?);
            let (k, v) = (rows(m, &k, &at)?, rows(m, &v, &at)?);
            (m.select_or(&held, &k, 0.0)?, m.select_or(&held, &v, 0.0)?)
        }
        _ => (k, v),
    };
    let masks = grouped_masks(m, c, &at, &q, &k)?;
    let y = Attended::of(m, c, [&q, &k, &v], &masks)?.y;
    Ok(vec![side_by_side(m, &y)?, k, v])
}

/// Which rows, of those of a buffer and the new ones behind them, a buffer has afterwards, `[batch, rows]`, where the new ones begin
/// at `before`; and which of them hold something, `[batch, 1, rows, 1]`.
fn kept(m: &mut Import, past: &Val, [before, steps, total]: [&Val; 3]) -> Result<(Val, Val), String> {
    let room = length(m, past, 2)?;
    let all = m.two("Maximum", &room, total)?;
    let at = places(m, all)?;
    let last = m.with("Sub", steps, 1.0)?;
    let own = m.two("Sub", &at, before)?;
    let own = m.with("Maximum", &own, 0.0)?;
    let own = m.two("Minimum", &own, &last)?;
    let own = m.two("Add", &own, &room)?;
    let is_new = m.two("GreaterEqual", &at, before)?;
    let end = m.two("Add", before, steps)?;
    let held = m.two("Less", &at, &end)?;
    Ok((m.select(&is_new, &own, &at)?, m.with_ones(&held, &[1, 3])?))
}

/// The keys up to the step of each query, as many as the window lets it see.
fn grouped_masks(m: &mut Import, c: &Call, at: &Val, q: &Val, k: &Val) -> Result<Masks, String> {
    let mut masks = Masks::default();
    let keys = length(m, k, 2)?;
    let (keys, own) = (places(m, keys)?, m.with_ones(at, &[1, 3])?);
    if c.int("causal", 1) == 1 {
        let allowed = m.two("LessEqual", &keys, &own)?;
        masks.forbid(m, &allowed, q.dtype())?;
    }
    let window = c.int("local_window_size", -1);
    if window > 0 {
        let first = m.with("Sub", &own, window as f64)?;
        let allowed = m.two("Greater", &keys, &first)?;
        masks.forbid(m, &allowed, q.dtype())?;
    }
    if let Some(bias) = c.option(10) {
        masks.add(m, bias)?;
    }
    Ok(masks)
}

/// Positions are numbers for each step, or the number of the first.
fn rotary(m: &mut Import, c: &Call) -> Steps {
    let (x, positions, cos) = (c.input(0)?, c.input(1)?, c.input(2)?);
    if c.float("scale", 1.0) != 1.0 || c.int("is_packed_batching", 0) == 1 {
        return Err("scaled and packed rows are not supported".into());
    }
    let (dim, pairs) = (c.int("rotary_embedding_dim", 0), c.int("interleaved", 0) == 1);
    let flat = x.rank()? == 3;
    let by_steps = if flat {
        let heads = match c.int("num_heads", 0) {
            0 => x.dim(2)?.checked_div(cos.dim(1)?.saturating_mul(2)).ok_or("the heads have no elements")?,
            heads => heads,
        };
        divided(m, &x, heads)?
    } else {
        m.transposed(&x, &[0, 2, 1, 3])?
    };
    let positions = if positions.rank()? == 1 {
        let steps = length(m, &by_steps, 1)?;
        let at = places(m, steps)?;
        let at = m.two("Add", &at, &positions)?;
        m.with_ones(&at, &[0])?
    } else {
        positions
    };
    let (cos, sin) = (m.gathered(&cos, &positions, 0)?, m.gathered(&c.input(3)?, &positions, 0)?);
    let y = turned(m, &by_steps, [&cos, &sin], dim, pairs)?;
    if flat {
        let dims = dims_of(m, &x)?;
        return Ok(vec![m.two("Reshape", &y, &dims)?]);
    }
    Ok(vec![m.transposed(&y, &[0, 2, 1, 3])?])
}

/// Words, their places and their segments as vectors, whose sum is normalised.
fn embedded(m: &mut Import, c: &Call) -> Steps {
    let ids = c.input(0)?;
    let mut sum = m.gathered(&c.input(2)?, &ids, 0)?;
    let position = match c.option(8) {
        Some(position) => position,
        None => {
            let steps = length(m, &ids, 1)?;
            places(m, steps)?
        }
    };
    let places = m.gathered(&c.input(3)?, &position, 0)?;
    sum = m.two("Add", &sum, &places)?;
    if let (Some(ids), Some(table)) = (c.option(1), c.option(4)) {
        let segments = m.gathered(&table, &ids, 0)?;
        sum = m.two("Add", &sum, &segments)?;
    }
    let factors = [c.option(5), c.option(6)];
    let y = layer_normed(m, c, &sum, factors, c.float("epsilon", 1e-12))?.into_iter().next().ok_or("no result")?;
    let mask = match c.option(7) {
        Some(mask) => as_type(m, mask, DType::I32)?,
        None => {
            let none = m.one("ZerosLike", &ids)?;
            as_type(m, none, DType::I32)?
        }
    };
    let lengths = m.reduce("ReduceSum", &mask, &[1], false)?;
    Ok(vec![y, as_type(m, lengths, DType::I32)?, sum])
}
