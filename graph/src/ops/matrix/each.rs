//! Operators on every matrix of a batch.

use crate::bounds;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Operand, Rule};
use crate::ops::kit::broadcasting::size;
use crate::ops::kit::complex::{complex_tensor, complexes};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure};

use super::algebra::Matrix;

/// An operand, and how many rows and columns each of its matrices has.
pub(super) type In<'a> = (&'a Operand, [usize; 2]);

/// Results of `f` for each matrix of the operands. Their first dimensions, `batch`, count the matrices; behind them the results
/// have the dimensions of `outs`.
pub(super) struct Each<'a, const N: usize, const M: usize, F> {
    pub batch: &'a [usize],
    pub ins: [In<'a>; N],
    pub outs: [(DType, Shape); M],
    pub f: F,
}

impl<const N: usize, const M: usize, F: Fn([Matrix; N]) -> Result<[Matrix; M], OpError>> Rule for Each<'_, N, M, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let fact = |(dtype, dims): &(DType, Shape)| {
            let shape: Shape = self.batch.iter().chain(dims).copied().collect();
            size(&shape)?;
            Ok(Fact { dtype: *dtype, shape })
        };
        self.outs.iter().map(fact).collect()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let facts = self.infer()?;
        let counts = self.ins.iter().map(|(x, _)| x.count()).chain(facts.iter().map(Fact::count));
        let _room = bounds::room(counts.fold(0usize, usize::saturating_add).saturating_mul(32))?;
        let operands = self.ins.iter().map(|(x, _)| complexes(x.tensor()?)).collect::<Result<Vec<_>, _>>()?;
        let mut outs = vec![Vec::new(); M];
        for item in 0..size(self.batch)? {
            bounds::check()?;
            let matrices = operands.iter().zip(&self.ins).map(|(data, (_, [rows, cols]))| {
                let len = rows * cols;
                let data = data.iter().skip(item * len).take(len).copied().collect();
                Matrix { rows: *rows, cols: *cols, data }
            });
            let matrices = matrices.collect::<Vec<_>>().try_into();
            let matrices = matrices.map_err(|_| OpError::Invalid(format!("expected {N} operands")))?;
            for (out, y) in outs.iter_mut().zip((self.f)(matrices)?) {
                out.extend(y.data);
            }
        }
        outs.iter().zip(facts).map(|(y, fact)| complex_tensor(fact.dtype, &fact.shape, y)).collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no such operator")
    }
}

/// The dimensions before the last two, and these.
pub(super) fn matrices(x: &Operand) -> Result<(&[usize], [usize; 2]), OpError> {
    let d = x.dtype();
    ensure!(d.is_float() || d.is_complex(), "expected floats or complex numbers, found {}", x.fact);
    match x.shape() {
        [batch @ .., rows, cols] => Ok((batch, [*rows, *cols])),
        _ => Err(OpError::Invalid(format!("expected matrices, found {}", x.fact))),
    }
}

/// The dimensions before the last two, which are equal, and the length of these.
pub(super) fn squares(x: &Operand) -> Result<(&[usize], usize), OpError> {
    let (batch, [rows, cols]) = matrices(x)?;
    ensure!(rows == cols, "expected square matrices, found {}", x.fact);
    Ok((batch, rows))
}

/// Square matrices of one operand, and as many matrices with as many rows of another of the same type.
pub(super) fn system<'a>(a: &'a Operand, b: &'a Operand) -> Result<(&'a [usize], usize, usize), OpError> {
    let ((batch, n), (other, [rows, cols])) = (squares(a)?, matrices(b)?);
    let fits = batch == other && rows == n && a.dtype() == b.dtype();
    ensure!(fits, "expected right-hand sides for {}, found {}", a.fact, b.fact);
    Ok((batch, n, cols))
}

/// Results of `rule`, but that with `blank` all behind the first are zeros of that shape.
pub(super) struct Values<R> {
    pub rule: R,
    pub blank: Option<Shape>,
}

impl<R: Rule> Rule for Values<R> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let mut facts = self.rule.infer()?;
        if let Some(blank) = &self.blank {
            facts.iter_mut().skip(1).for_each(|fact| fact.shape = blank.clone());
        }
        Ok(facts)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let mut results = self.rule.reference()?;
        if let Some(blank) = &self.blank {
            for y in results.iter_mut().skip(1) {
                *y = Tensor::zeros(y.dtype(), blank)?;
            }
        }
        Ok(results)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        self.rule.onnx(e)
    }
}
