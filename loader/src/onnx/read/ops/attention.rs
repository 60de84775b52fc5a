//! Attention, and positions as rotations.

use mindir_graph::DType;
use mindir_graph::op::Const;

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, element_type, join, length, number, part, places, quotient, reshaped, times};
use crate::onnx::read::import::{Call, Import, In, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[("Attention", |m, c| attention(m, c)), ("RotaryEmbedding", |m, c| rotary(m, c))];

/// `x` with the heads in front of the steps, `[batch, heads, steps, size]`; without a dimension of their own they share the last.
pub(super) fn by_heads(m: &mut Import, x: &Val, heads: i64) -> Step {
    match x.rank()? {
        4 => Ok(x.clone()),
        3 if heads > 0 => {
            let split = divided(m, x, heads)?;
            m.transposed(&split, &[0, 2, 1, 3])
        }
        rank => Err(format!("rank {rank} with {heads} heads")),
    }
}

/// `[batch, steps, heads · size]` as `[batch, steps, heads, size]`.
pub(super) fn divided(m: &mut Import, x: &Val, heads: i64) -> Step {
    let (batch, steps, all) = (length(m, x, 0)?, length(m, x, 1)?, length(m, x, 2)?);
    let heads = m.vector(&[heads]);
    let size = quotient(m, &all, &heads)?;
    reshaped(m, x.clone(), vec![batch, steps, heads, size])
}

/// Every head of `x` as often as there are queries for it.
fn shared(m: &mut Import, x: Val, q: &Val) -> Step {
    if x.length(1).is_some() && x.length(1) == q.length(1) {
        return Ok(x);
    }
    let (batch, own, steps, size) = (length(m, &x, 0)?, length(m, &x, 1)?, length(m, &x, 2)?, length(m, &x, 3)?);
    let heads = length(m, q, 1)?;
    let each = quotient(m, &heads, &own)?;
    let wide = join(m, vec![batch.clone(), own.clone(), each.clone(), steps.clone(), size.clone()], 0)?;
    let x = m.with_ones(&x, &[2])?;
    let x = m.two("BroadcastTo", &x, &wide)?;
    let all = times(m, &own, &each)?;
    reshaped(m, x, vec![batch, all, steps, size])
}

/// The root of the factor for products of queries and keys.
fn root_of_scale(m: &mut Import, c: &Call, q: &Val) -> Step {
    let scale = if c.float("scale", 0.0) != 0.0 {
        m.scalar(DType::F64, c.float("scale", 1.0))?
    } else {
        let size = length(m, q, 3)?;
        let size = number(m, size)?;
        let size = as_type(m, size, DType::F64)?;
        let root = m.one("Sqrt", &size)?;
        m.one("Reciprocal", &root)?
    };
    let root = m.one("Sqrt", &scale)?;
    as_type(m, root, q.dtype())
}

/// A mask as what is added: 0 where there is attention. Steps that it does not name have none.
fn additive(m: &mut Import, mask: Val, steps: &Val, dtype: DType) -> Step {
    let mask = if mask.dtype() == DType::Bool {
        let zero = m.scalar(dtype, 0.0)?;
        m.select_or(&mask, &zero, f64::NEG_INFINITY)?
    } else {
        as_type(m, mask, dtype)?
    };
    let last = mask.rank()?.checked_sub(1).ok_or("a mask without dimensions")?;
    let own = length(m, &mask, last)?;
    if own.ints().is_ok() && own.ints() == steps.ints() {
        return Ok(mask);
    }
    let missing = m.two("Sub", steps, &own)?;
    let missing = m.with("Maximum", &missing, 0.0)?;
    let none = m.vector(&[0]);
    let pads = join(m, vec![none, missing], 0)?;
    let rest = m.vector(&vec![0; 2 * last]);
    let pads = join(m, vec![pads, rest], 0)?;
    m.op("PadV3", vec![mask.into(), pads.into(), f64::NEG_INFINITY.into(), "constant".into()])
}

/// Where there is attention: the masks of a node together, if there are any.
#[derive(Default)]
pub(super) struct Masks {
    /// What is added to products.
    bias: Option<Val>,
}

impl Masks {
    pub fn add(&mut self, m: &mut Import, more: Val) -> Result<(), String> {
        self.bias = Some(match &self.bias {
            Some(bias) => m.two("Add", bias, &more)?,
            None => more,
        });
        Ok(())
    }

    pub fn forbid(&mut self, m: &mut Import, allowed: &Val, dtype: DType) -> Result<(), String> {
        let zero = m.scalar(dtype, 0.0)?;
        let bias = m.select_or(allowed, &zero, f64::NEG_INFINITY)?;
        self.add(m, bias)
    }

    /// The masks for queries `q` and keys `k`, of which `past` were there before.
    fn of(m: &mut Import, c: &Call, q: &Val, k: &Val, past: Option<&Val>) -> Result<Masks, String> {
        let (dtype, mut masks) = (q.dtype(), Masks::default());
        let (queries, keys) = (length(m, q, 2)?, length(m, k, 2)?);
        if let Some(mask) = c.option(3) {
            let mask = additive(m, mask, &keys, dtype)?;
            masks.add(m, mask)?;
        }
        let valid = c.option(6).map(|n| as_type(m, n, DType::I64)).transpose()?;
        let (left, right) = (c.int("left_window_size", -1), c.int("right_window_size", -1));
        let at = places(m, keys)?;
        if c.int("is_causal", 0) == 1 || left >= 0 || right >= 0 {
            let own = places(m, queries.clone())?;
            let mut own = m.with_ones(&own, &[1])?;
            if let Some(past) = past {
                let before = length(m, past, 2)?;
                own = m.two("Add", &own, &before)?;
            } else if let Some(valid) = &valid {
                let before = m.two("Sub", valid, &queries)?;
                let before = m.with_ones(&before, &[1, 2, 3])?;
                own = m.two("Add", &own, &before)?;
            }
            let ahead = m.two("Sub", &at, &own)?;
            let limits = [
                (c.int("is_causal", 0) == 1).then_some(("LessEqual", 0)),
                (right >= 0).then_some(("LessEqual", right)),
                (left >= 0).then_some(("GreaterEqual", left.saturating_neg())),
            ];
            for (name, limit) in limits.into_iter().flatten() {
                let allowed = m.with(name, &ahead, limit as f64)?;
                masks.forbid(m, &allowed, dtype)?;
            }
        }
        if let Some(valid) = valid {
            let valid = m.with_ones(&valid, &[1, 2, 3])?;
            let allowed = m.two("Less", &at, &valid)?;
            masks.forbid(m, &allowed, dtype)?;
        }
        Ok(masks)
    }

    /// How much each query takes of each key. Who may take nothing takes nothing.
    fn shares(&self, m: &mut Import, products: &Val) -> Step {
        let last = products.rank()? as i64 - 1;
        let shares = m.op("Softmax", vec![products.into(), vec![last].into()])?;
        let Some(bias) = &self.bias else { return Ok(shares) };
        let most = m.reduce("ReduceMax", bias, &[bias.rank()? as i64 - 1], true)?;
        let some = m.with("Greater", &most, f64::NEG_INFINITY)?;
        m.select_or(&some, &shares, 0.0)
    }
}

fn attention(m: &mut Import, c: &Call) -> Steps {
    let (q, k, v) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let flat = q.rank()? == 3;
    let heads = [c.int("q_num_heads", 0), c.int("kv_num_heads", 0)];
    let q = by_heads(m, &q, heads[0])?;
    let together = |m: &mut Import, x: &Val, past: Option<Val>| {
        let x = by_heads(m, x, heads[1])?;
        match past {
            Some(past) => join(m, vec![past, x], 2),
            None => Ok(x),
        }
    };
    let (k, v) = (together(m, &k, c.option(4))?, together(m, &v, c.option(5))?);
    let masks = Masks::of(m, c, &q, &k, c.option(4).as_ref())?;
    let Attended { mut y, products, shares } = Attended::of(m, c, [&q, &k, &v], &masks)?;
    if flat {
        y = side_by_side(m, &y)?;
    }
    let [plain, capped, biased] = products;
    let shown = match c.int("qk_matmul_output_mode", 0) {
        0 => plain,
        1 => capped,
        2 => biased,
        _ => shares,
    };
    Ok(vec![y, k, v, shown])
}

/// `[batch, heads, steps, size]` as `[batch, steps, heads · size]`.
pub(super) fn side_by_side(m: &mut Import, y: &Val) -> Step {
    let (batch, count, steps, size) = (length(m, y, 0)?, length(m, y, 1)?, length(m, y, 2)?, length(m, y, 3)?);
    let wide = times(m, &count, &size)?;
    let y = m.transposed(y, &[0, 2, 1, 3])?;
    reshaped(m, y, vec![batch, steps, wide])
}

/// What attention gives.
pub(super) struct Attended {
    /// `[batch, heads, steps, size]`.
    pub y: Val,
    /// Products of queries and keys: as they are, with a cap, and with masks.
    pub products: [Val; 3],
    /// How much each query takes of each key.
    pub shares: Val,
}

impl Attended {
    /// Queries, keys and values by heads; `scale`, `softcap` and `softmax_precision` are attributes of the node.
    pub fn of(m: &mut Import, c: &Call, [q, k, v]: [&Val; 3], masks: &Masks) -> Result<Attended, String> {
        let scale = root_of_scale(m, c, q)?;
        let (all_k, all_v) = (shared(m, k.clone(), q)?, shared(m, v.clone(), q)?);
        let (scaled_q, scaled_k) = (m.two("Mul", q, &scale)?, m.two("Mul", &all_k, &scale)?);
        let args: Vec<In> = vec![scaled_q.into(), scaled_k.into(), In::Const(Const::Bool(false)), true.into()];
        let plain = m.op("BatchMatMul", args)?;
        let cap = c.float("softcap", 0.0);
        let capped = if cap > 0.0 {
            let small = m.with("Div", &plain, cap)?;
            let small = m.one("Tanh", &small)?;
            m.with("Mul", &small, cap)?
        } else {
            plain.clone()
        };
        let biased = match &masks.bias {
            Some(bias) => m.two("Add", &capped, bias)?,
            None => capped.clone(),
        };
        let precise = match c.has("softmax_precision") {
            true => as_type(m, biased.clone(), element_type(c.int("softmax_precision", 1))?)?,
            false => biased.clone(),
        };
        let shares = masks.shares(m, &precise)?;
        let shares = as_type(m, shares, q.dtype())?;
        let y = m.op("BatchMatMul", vec![(&shares).into(), all_v.into(), false.into(), false.into()])?;
        Ok(Attended { y, products: [plain, capped, biased], shares })
    }
}

/// Pairs of elements turned by the angle of their position.
fn rotary(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let dims = dims_of(m, &x)?;
    let by_steps = match x.rank()? {
        4 => m.transposed(&x, &[0, 2, 1, 3])?,
        3 if c.int("num_heads", 0) > 0 => divided(m, &x, c.int("num_heads", 0))?,
        rank => return Err(format!("rank {rank} without the number of heads")),
    };
    let angles = |m: &mut Import, table: Val| match c.option(3) {
        Some(positions) => m.gathered(&table, &positions, 0),
        None => Ok(table),
    };
    let (cos, sin) = (angles(m, c.input(1)?)?, angles(m, c.input(2)?)?);
    let y = turned(m, &by_steps, [&cos, &sin], c.int("rotary_embedding_dim", 0), c.int("interleaved", 0) == 1)?;
    if x.rank()? == 4 {
        return Ok(vec![m.transposed(&y, &[0, 2, 1, 3])?]);
    }
    Ok(vec![m.op("Reshape", vec![y.into(), dims.into()])?])
}

/// `[batch, steps, heads, size]` with pairs of elements turned by angles whose cosines and sines are `[batch, steps, pairs]`: the
/// first `dim` elements, or all if it is 0, that lie beside each other as `pairs` says or half of them apart.
pub(super) fn turned(m: &mut Import, by_steps: &Val, angles: [&Val; 2], dim: i64, pairs: bool) -> Step {
    let (cos, sin) = (m.with_ones(angles[0], &[2])?, m.with_ones(angles[1], &[2])?);
    let size = length(m, by_steps, 3)?;
    let turned = match dim {
        0 => size.clone(),
        n => m.vector(&[n]),
    };
    let (two, zero) = (m.vector(&[2]), m.vector(&[0]));
    let half = quotient(m, &turned, &two)?;
    let taken = |m: &mut Import, from: &Val, count: &Val, step: f64| {
        let at = places(m, count.clone())?;
        let at = m.with("Mul", &at, step)?;
        let at = m.two("Add", &at, from)?;
        m.gathered(by_steps, &at, 3)
    };
    let one = m.vector(&[1]);
    let (second, step) = if pairs { (&one, 2.0) } else { (&half, 1.0) };
    let (a, b) = (taken(m, &zero, &half, step)?, taken(m, second, &half, step)?);
    let (ca, sb) = (m.two("Mul", &cos, &a)?, m.two("Mul", &sin, &b)?);
    let (sa, cb) = (m.two("Mul", &sin, &a)?, m.two("Mul", &cos, &b)?);
    let parts = vec![m.two("Sub", &ca, &sb)?, m.two("Add", &sa, &cb)?];
    let y = if pairs {
        let parts = parts.iter().map(|p| m.with_ones(p, &[4])).collect::<Result<Vec<_>, _>>()?;
        let y = join(m, parts, 4)?;
        let all = dims_of(m, by_steps)?;
        let lead = part(m, &all, 0, 3)?;
        reshaped(m, y, vec![lead, turned.clone()])?
    } else {
        join(m, parts, 3)?
    };
    if dim == 0 {
        return Ok(y);
    }
    let left = m.two("Sub", &size, &turned)?;
    let rest = taken(m, &turned, &left, 1.0)?;
    join(m, vec![y, rest], 3)
}
