//! Sums of products over named dimensions.

use super::Row;
use super::shape::{common, dims_of, length, part, pick, places, product as product_of, reshaped};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[("Einsum", |m, c| einsum(m, c))];

/// A tensor whose dimensions have names.
struct Named {
    x: Val,
    names: Vec<char>,
}

impl Named {
    fn place(&self, name: char) -> Option<usize> {
        self.names.iter().position(|&n| n == name)
    }
}

/// The operands are multiplied from the left to the right; a name is summed over after its last use.
fn einsum(m: &mut Import, c: &Call) -> Steps {
    let operands = (0..c.inputs.len()).map(|i| c.input(i)).collect::<Result<Vec<_>, _>>()?;
    let ranks = operands.iter().map(Val::rank).collect::<Result<Vec<usize>, _>>()?;
    let (terms, result) = parse(&c.text("equation", ""), &ranks)?;
    let mut all = Vec::with_capacity(operands.len());
    for (x, names) in operands.into_iter().zip(terms) {
        all.push(diagonal(m, Named { x, names })?);
    }
    let mut rest = all.into_iter();
    let mut sum = rest.next().ok_or("there are no operands")?;
    while let Some(next) = rest.next() {
        let later: Vec<char> = rest.as_slice().iter().flat_map(|t| t.names.clone()).collect();
        sum = product(m, sum, next, |n| result.contains(&n) || later.contains(&n))?;
    }
    let sum = summed(m, sum, |n| result.contains(&n))?;
    Ok(vec![transposed(m, sum, &result)?.x])
}

/// The elements at which the places of equal names are equal.
fn diagonal(m: &mut Import, mut t: Named) -> Result<Named, String> {
    let twice = |names: &[char]| {
        let mut pairs = (0..names.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        pairs.find(|&(a, b)| names.get(a) == names.get(b))
    };
    while let Some((a, b)) = twice(&t.names) {
        let others = (0..t.names.len()).filter(|d| *d != a && *d != b);
        let perm: Vec<i64> = [a, b].into_iter().chain(others).map(|d| d as i64).collect();
        let (len, one) = (length(m, &t.x, a)?, m.vector(&[1]));
        let dims = dims_of(m, &t.x)?;
        let rest = pick(m, &dims, perm.get(2..).unwrap_or_default())?;
        let square = m.two("Mul", &len, &len)?;
        let x = m.transposed(&t.x, &perm)?;
        let x = reshaped(m, x, vec![square, rest])?;
        let step = m.two("Add", &len, &one)?;
        let at = places(m, len)?;
        let at = m.two("Mul", &at, &step)?;
        let x = m.gathered(&x, &at, 0)?;
        let names = perm.iter().skip(1).filter_map(|&d| t.names.get(d as usize).copied()).collect();
        t = Named { x, names };
    }
    Ok(t)
}

/// The names of the dimensions of each operand and of the result. Those of `...` are digits, counted from the last.
fn parse(equation: &str, ranks: &[usize]) -> Result<(Vec<Vec<char>>, Vec<char>), String> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = equation.split_once("->").map_or((equation.as_str(), None), |(l, r)| (l, Some(r)));
    let texts: Vec<&str> = left.split(',').collect();
    if texts.len() != ranks.len() {
        return Err(format!("equation {equation} has {} terms for {} operands", texts.len(), ranks.len()));
    }
    let terms = texts.iter().zip(ranks).map(|(text, &rank)| {
        let letters = text.replace("...", "").chars().count();
        let open = rank.checked_sub(letters).filter(|&open| open == 0 || text.contains("..."));
        term(text, open.ok_or_else(|| format!("term {text} does not fit an operand of rank {rank}"))?)
    });
    let terms = terms.collect::<Result<Vec<_>, String>>()?;
    let open =
        terms.iter().flatten().filter(|n| n.is_ascii_digit()).max().map_or(0, |&n| n as usize - '0' as usize + 1);
    let result = match right {
        Some(text) => term(text, if text.contains("...") { open } else { 0 })?,
        None => {
            let mut once: Vec<char> = terms.iter().flatten().copied().filter(|n| n.is_alphabetic()).collect();
            once.sort_unstable();
            let all = once.clone();
            once.retain(|n| all.iter().filter(|other| *other == n).count() == 1);
            term("...", open)?.into_iter().chain(once).collect()
        }
    };
    if result.iter().enumerate().any(|(i, name)| result.iter().take(i).any(|other| other == name)) {
        return Err(format!("equation {equation} names an index of the result twice"));
    }
    match result.iter().find(|n| !terms.iter().flatten().any(|other| other == *n)) {
        Some(name) => Err(format!("index {name} of the result is in no operand")),
        None => Ok((terms, result)),
    }
}

/// The names in a term whose `...` stands for `open` dimensions.
fn term(text: &str, open: usize) -> Result<Vec<char>, String> {
    if open > 10 {
        return Err(format!("`...` stands for {open} dimensions"));
    }
    let digits: String = (0..open as u8).rev().map(|i| char::from(b'0' + i)).collect();
    let names: Vec<char> = text.replacen("...", &digits, 1).chars().collect();
    for name in &names {
        if !name.is_ascii_alphabetic() && !digits.contains(*name) {
            return Err(format!("term {text} has {name:?} for an index"));
        }
    }
    Ok(names)
}

/// `t` summed over the names that are not kept.
fn summed(m: &mut Import, t: Named, keep: impl Fn(char) -> bool) -> Result<Named, String> {
    let axes: Vec<i64> = (0..).zip(&t.names).filter(|(_, n)| !keep(**n)).map(|(axis, _)| axis).collect();
    if axes.is_empty() {
        return Ok(t);
    }
    let x = m.op("ReduceSum", vec![t.x.into(), axes.into(), false.into()])?;
    Ok(Named { x, names: t.names.into_iter().filter(|&n| keep(n)).collect() })
}

fn transposed(m: &mut Import, t: Named, order: &[char]) -> Result<Named, String> {
    if t.names == order {
        return Ok(t);
    }
    let perm: Vec<i64> = order.iter().filter_map(|&n| t.place(n)).map(|i| i as i64).collect();
    let x = m.op("Transpose", vec![t.x.into(), perm.into()])?;
    Ok(Named { x, names: order.to_vec() })
}

/// The product of two tensors, summed over the names that both have and nobody needs any more.
fn product(m: &mut Import, a: Named, b: Named, needed: impl Fn(char) -> bool) -> Result<Named, String> {
    let a = summed(m, a, |n| needed(n) || b.names.contains(&n))?;
    let b = summed(m, b, |n| needed(n) || a.names.contains(&n))?;
    let (both, rows): (Vec<char>, Vec<char>) = a.names.iter().partition(|n| b.names.contains(n));
    let (batch, inner): (Vec<char>, Vec<char>) = both.into_iter().partition(|&n| needed(n));
    let cols: Vec<char> = b.names.iter().copied().filter(|n| !a.names.contains(n)).collect();
    let names = [batch.clone(), rows.clone(), cols.clone()].concat();
    let sizes = names.iter().map(|&n| size(m, n, &a, &b)).collect::<Result<Vec<Val>, _>>()?;
    if inner.is_empty() {
        let a = transposed(m, a, &[batch.clone(), rows.clone()].concat())?;
        let b = transposed(m, b, &[batch.clone(), cols.clone()].concat())?;
        let a = ones(m, a.x, a.names.len(), cols.len())?;
        let b = ones(m, b.x, batch.len(), rows.len())?;
        return Ok(Named { x: m.op("Mul", vec![a.into(), b.into()])?, names });
    }
    let a = transposed(m, a, &[batch.clone(), rows.clone(), inner.clone()].concat())?;
    let b = transposed(m, b, &[batch.clone(), inner.clone(), cols.clone()].concat())?;
    let a = merged(m, a.x, batch.len(), rows.len())?;
    let b = merged(m, b.x, batch.len(), inner.len())?;
    let name = if batch.is_empty() { "MatMul" } else { "BatchMatMul" };
    let y = m.op(name, vec![a.into(), b.into(), false.into(), false.into()])?;
    let x = match (rows.len(), cols.len()) {
        (1, 1) => y,
        _ if sizes.is_empty() => m.op("Reshape", vec![y.into(), Vec::<i64>::new().into()])?,
        _ => reshaped(m, y, sizes)?,
    };
    Ok(Named { x, names })
}

/// `x` with `count` dimensions of one element at `axis`.
fn ones(m: &mut Import, x: Val, axis: usize, count: usize) -> Step {
    (0..count).try_fold(x, |x, _| m.op("ExpandDims", vec![x.into(), (axis as i64).into()]))
}

/// `x` with the first `lead` dimensions, the next `first` as one, and the rest as one.
fn merged(m: &mut Import, x: Val, lead: usize, first: usize) -> Step {
    let rank = x.rank()?;
    if first == 1 && rank == lead + 2 {
        return Ok(x);
    }
    let dims = dims_of(m, &x)?;
    let mut at = |from: usize, to: usize| part(m, &dims, from as i64, to as i64);
    let (lead, first, rest) = (at(0, lead)?, at(lead, lead + first)?, at(lead + first, rank)?);
    let parts = vec![lead, product_of(m, &first)?, product_of(m, &rest)?];
    reshaped(m, x, parts)
}

/// The length of dimension `name`, of which one operand may have a single element.
fn size(m: &mut Import, name: char, a: &Named, b: &Named) -> Step {
    let mut sizes = Vec::new();
    for t in [a, b] {
        if let Some(d) = t.place(name) {
            sizes.push(length(m, &t.x, d)?);
        }
    }
    let last = sizes.pop().ok_or("an index is in no operand")?;
    match sizes.pop() {
        Some(first) => common(m, first, last),
        None => Ok(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_name_dimensions() {
        let names = |text: &str| text.chars().collect::<Vec<char>>();
        let parsed = |equation, ranks: &[usize]| parse(equation, ranks).map(|(terms, result)| (terms.concat(), result));
        assert_eq!(parsed("bij, bjk -> bik", &[3, 3]), Ok((names("bijbjk"), names("bik"))));
        assert_eq!(parsed("ij,jk", &[2, 2]), Ok((names("ijjk"), names("ik"))));
        assert_eq!(parsed("...ij,...jk", &[4, 3]), Ok((names("10ij0jk"), names("10ik"))));
        assert_eq!(parsed("ii->i", &[2]), Ok((names("ii"), names("i"))));
        assert_eq!(parsed("ba", &[2]), Ok((names("ba"), names("ab"))));
        for (equation, ranks) in
            [("ij", &[3][..]), ("i,j", &[1]), ("i->j", &[1]), ("i1", &[2]), ("...", &[11]), ("i->ii", &[1])]
        {
            assert!(parsed(equation, ranks).is_err(), "{equation}");
        }
    }
}
