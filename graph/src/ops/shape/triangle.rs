//! Triangles of matrices.

use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{fact, number_of, scalars, tensor_of};
use crate::ops::kit::sample::{flags, sample, wave};
use crate::ops::reduce::reduction::operand;
use crate::task::{Lowering, Scalar};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// Whether element (`row`, `col`) is kept.
fn kept(row: usize, col: usize, diagonal: i64, upper: bool) -> bool {
    let d = (col as i64).saturating_sub(row as i64);
    if upper { d >= diagonal } else { d <= diagonal }
}

fn infer(x: &Operand) -> Result<Vec<Fact>, OpError> {
    ensure!(x.rank() >= 2, "expected at least two dimensions, found {}", x.fact);
    fact(&[x], x.dtype())
}

fn sides(x: &Operand) -> (usize, usize) {
    (x.shape()[x.rank() - 2], x.shape()[x.rank() - 1])
}

/// `x` where `keep` of row and column holds, 0 elsewhere.
fn zeroed(x: &Operand, keep: impl Fn(usize, usize) -> bool) -> Result<Vec<Tensor>, OpError> {
    infer(x)?;
    let (rows, cols) = sides(x);
    let mut y = scalars(x.tensor()?, x.dtype())?;
    for (i, v) in y.iter_mut().enumerate() {
        if !keep(i / cols % rows, i % cols) {
            *v = Scalar::Int(0);
        }
    }
    Ok(vec![tensor_of(x.dtype(), x.shape(), &y)?])
}

/// [`zeroed`] as tasks.
fn masked(x: &Operand, keep: impl Fn(usize, usize) -> bool, b: &mut Lowering) -> Lowers {
    let (rows, cols) = sides(x);
    let mask: Vec<bool> = (0..rows * cols).map(|i| keep(i / cols, i % cols)).collect();
    let mask = b.constant(Tensor::from_bools(&[rows, cols], &mask)?);
    let zero = b.scalar(number_of(x.dtype()), 0.0)?;
    let (mask, zero) = (operand(b, mask), operand(b, zero));
    crate::ops::elementwise::select::lower_choice(&mask, x, &zero, x.dtype(), b)
}

macro_rules! triangle {
    ($($(#[doc = $doc:literal])+ [$($classic:ident)?] $name:ident[$($alias:literal)?] = $upper:literal;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($classic)? $name, aliases [$($alias)?] { input: Operand, diagonal: i64 = 0 }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                infer(&self.input)
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                zeroed(&self.input, |row, col| kept(row, col, self.diagonal, $upper))
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                masked(&self.input, |row, col| kept(row, col, self.diagonal, $upper), b)
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

impl MatrixBandPart {
    fn kept(&self, row: usize, col: usize) -> bool {
        let above = (col as i64).saturating_sub(row as i64);
        (self.lower < 0 || -above <= self.lower) && (self.upper < 0 || above <= self.upper)
    }
}

impl Rule for MatrixBandPart {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        infer(&self.x)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        zeroed(&self.x, |row, col| self.kept(row, col))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        masked(&self.x, |row, col| self.kept(row, col), b)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[2, 4, 5])).int(1).int(0).exact("narrow"),
            sample().arg(wave(DType::I32, &[4, 3])).int(-1).int(1).exact("below"),
            sample().arg(wave(DType::F32, &[3, 3])).int(0).int(-1).exact("above"),
        ]
    }
}
