use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Gemm, Matrix, Scalar};
use mindir_graph::{Fact, OpError, Shape, Strides, Tensor, checked_count, ensure};

use super::finish::Finish;
use super::number::{Number, from_scalars, with_number};
use super::{at, indices, signed, within};

pub(super) fn run(g: &Gemm, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let [out] = outs else { return Err(OpError::Invalid("gemm: expected one result".into())) };
    ensure!(ins.len() >= 2, "gemm: {} operands, expected at least 2", ins.len());
    for t in &ins[..2] {
        ensure!(t.dtype() == g.dtype, "gemm: operand {}, expected {}", t.fact(), g.dtype);
    }
    ensure!(g.epilogue.is_some() || out.dtype == g.out, "gemm: result {out}, expected {}", g.out);
    let total = checked_count(&out.shape).unwrap_or(0);
    ensure!(checked_count(&product(g)).is_some_and(|n| n <= total), "gemm: result {out} is too small");
    if checked_count(&product(g)) == Some(0) {
        return Ok(vec![Tensor::zeros(out.dtype, &out.shape)?]);
    }
    let rows = g.batch_count() * g.m;
    let finish = Finish::new(g.epilogue.as_ref(), &ins[2..], out, rows, g.n)?;
    let data = with_number!(g.dtype, N => products::<N>(g, ins, out, &finish))?;
    Ok(vec![from_scalars(out, &data)?])
}

fn product(g: &Gemm) -> Shape {
    g.batch.iter().copied().chain([g.m, g.n]).collect()
}

fn strides(g: &Gemm, matrix: &Matrix, rows: usize, cols: usize, count: usize) -> Result<Strides, OpError> {
    let mut strides = matrix.batch.clone();
    strides.extend([signed("gemm", matrix.row)?, signed("gemm", matrix.col)?]);
    let dims: Shape = g.batch.iter().copied().chain([rows, cols]).collect();
    within("gemm", count, matrix.offset, &dims, &strides)?;
    Ok(matrix.batch.clone())
}

fn products<N: Number>(g: &Gemm, ins: &[Tensor], out: &Fact, finish: &Finish<'_>) -> Result<Vec<Scalar>, OpError> {
    let (a, b) = (N::read(&ins[0])?, N::read(&ins[1])?);
    let sa = strides(g, &g.a, g.m, g.k, a.len())?;
    let sb = strides(g, &g.b, g.k, g.n, b.len())?;
    let sc = strides(g, &g.c, g.m, g.n, out.count())?;
    let zero = if g.dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
    let (mut c, mut pulse) = (vec![zero; out.count()], Pulse::default());
    for (batch, index) in indices(&g.batch).enumerate() {
        let (pa, pb, pc) = (at(g.a.offset, &index, &sa), at(g.b.offset, &index, &sb), at(g.c.offset, &index, &sc));
        for i in 0..g.m {
            for j in 0..g.n {
                pulse.turns(g.k)?;
                let term = |k: usize| a[pa + i * g.a.row + k * g.a.col].mul(b[pb + k * g.b.row + j * g.b.col]);
                let sum = (0..g.k).fold(N::ZERO, |sum, k| sum.add(term(k)));
                let place = pc + i * g.c.row + j * g.c.col;
                c[place] = finish.apply(sum.scalar(), batch * g.m + i, j, place);
            }
        }
    }
    Ok(c)
}
