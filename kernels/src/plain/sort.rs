use mindir_graph::order::first;
use mindir_graph::task::Sort;
use mindir_graph::{Fact, OpError, Tensor, ensure};

use super::number::{Number, with_number};
use super::{operand, result};

pub(super) fn run(s: &Sort, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let x = operand("sort", ins, 0, s.dtype, &[s.outer, s.len, s.inner])?;
    ensure!(s.k <= s.len, "sort: {} of {} elements", s.k, s.len);
    let dims = [s.outer, s.k, s.inner];
    let index = result("sort", outs, usize::from(s.values), s.index, &dims)?;
    with_number!(s.dtype, N => {
        let x = N::read(x)?;
        let places = places(s, &x)?;
        let mut results = Vec::new();
        if s.values {
            let values: Vec<N> = places.iter().map(|&(at, _)| x[at]).collect();
            results.push(N::write(result("sort", outs, 0, s.dtype, &dims)?, &values)?);
        }
        let places: Vec<i128> = places.iter().map(|&(_, l)| l as i128).collect();
        results.push(i128::write(index, &places)?);
        Ok(results)
    })
}

/// For each result, where its element lies in `x` and in its line.
fn places<N: Number>(s: &Sort, x: &[N]) -> Result<Vec<(usize, usize)>, OpError> {
    let before = |a: N, b: N| if s.descending { a.above(b) } else { b.above(a) };
    let order = |a: N, b: N| before(b, a).cmp(&before(a, b));
    let mut places = vec![(0, 0); s.outer * s.k * s.inner];
    for o in 0..s.outer {
        for i in 0..s.inner {
            let at = |l: usize| (o * s.len + l) * s.inner + i;
            let line = (0..s.len).map(|l| x[at(l)]);
            for (n, (l, _)) in first(line, s.k, s.selects(), order)?.into_iter().enumerate() {
                places[(o * s.k + n) * s.inner + i] = (at(l), l);
            }
        }
    }
    Ok(places)
}
