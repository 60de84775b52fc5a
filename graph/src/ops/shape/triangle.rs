//! Triangles of matrices.

use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::elementwise::select::lower_choice;
use crate::ops::kit::broadcasting::{fact, number_of, scalars, tensor_of};
use crate::ops::kit::sample::{flags, sample, wave};
use crate::ops::reduce::reduction::operand;
use crate::task::{Lowering, Scalar};
use crate::{DType, Fact, OpError, Tensor, op};

/// Whether element (`row`, `col`) is kept.
fn kept(row: usize, col: usize, diagonal: i64, upper: bool) -> bool {
    let d = (col as i64).saturating_sub(row as i64);
    if upper { d >= diagonal } else { d <= diagonal }
}

/// `x` where `keep` of row and column holds, 0 elsewhere.
struct Masked<'a, F> {
    x: &'a Operand,
    keep: F,
}

impl<F> Masked<'_, F> {
    /// Rows and columns of the matrices.
    fn sides(&self) -> Result<(usize, usize), OpError> {
        let [.., rows, cols] = *self.x.shape() else {
            return Err(OpError::Invalid(format!("expected at least two dimensions, found {}", self.x.fact)));
        };
        Ok((rows, cols))
    }
}

impl<F: Fn(usize, usize) -> bool> Rule for Masked<'_, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.sides()?;
        fact(&[self.x], self.x.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let (x, (rows, cols)) = (self.x, self.sides()?);
        let mut y = scalars(x.tensor()?, x.dtype())?;
        for (i, v) in y.iter_mut().enumerate() {
            if !(self.keep)(i / cols % rows, i % cols) {
                *v = Scalar::Int(0);
            }
        }
        Ok(vec![tensor_of(x.dtype(), x.shape(), &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (x, (rows, cols)) = (self.x, self.sides()?);
        let mask: Vec<bool> = (0..rows * cols).map(|i| (self.keep)(i / cols, i % cols)).collect();
        let mask = b.constant(Tensor::from_bools(&[rows, cols], &mask)?);
        let zero = b.scalar(number_of(x.dtype()), 0.0)?;
        let (mask, zero) = (operand(b, mask), operand(b, zero));
        lower_choice(&mask, x, &zero, x.dtype(), b)
    }
}

macro_rules! triangle {
    ($($(#[doc = $doc:literal])+ [$($classic:ident)?] $name:ident[$($alias:literal)?] = $upper:literal;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($classic)? $name, aliases [$($alias)?] { input: Operand, diagonal: i64 = 0 }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Masked { x: &self.input, keep: |row, col| kept(row, col, self.diagonal, $upper) })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[5, 5])).exact("square"),
                    sample().arg(wave(DType::F32, &[2, 3, 5])).int(1).exact("above"),
                    sample().arg(wave(DType::I32, &[4, 3])).int(-2).exact("below"),
                    sample().arg(wave(DType::F16, &[3, 4])).int(i64::MAX).exact("far"),
                    sample().arg(flags(&[4, 4])).exact("bool"),
                ]
            }
        }
    )*};
}

triangle! {
    /// The last two dimensions of `input` from diagonal number `diagonal` on, 0 below it.
    [] Triu["TriuExt"] = true;
    /// The last two dimensions of `input` up to diagonal number `diagonal`, 0 above it.
    [classic] Tril[] = false;
    /// The last two dimensions of `input` up to diagonal number `diagonal`, 0 above it.
    [] TrilExt[] = false;
}

op! {
    /// The last two dimensions of `x` with at most `lower` diagonals below the main one and `upper` above it, 0 elsewhere. A
    /// negative number keeps all.
    object MatrixBandPart { x: Operand, lower: i64, upper: i64 }
}

impl Operator for MatrixBandPart {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let keep = |row: usize, col: usize| {
            let above = (col as i64).saturating_sub(row as i64);
            (self.lower < 0 || -above <= self.lower) && (self.upper < 0 || above <= self.upper)
        };
        Ok(Masked { x: &self.x, keep })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[2, 4, 5])).int(1).int(0).exact("narrow"),
            sample().arg(wave(DType::I32, &[4, 3])).int(-1).int(1).exact("below"),
            sample().arg(wave(DType::F32, &[3, 3])).int(0).int(-1).exact("above"),
        ]
    }
}
