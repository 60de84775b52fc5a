//! Singular values.

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::Groups;
use crate::ops::kit::complex::Complex64;
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::dim;
use crate::ops::kit::sample::{complex, sample, wave};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op, shape};

use super::algebra::Matrix;
use super::each::{Each, Values, matrices};
use super::spectrum::{Svd as Factors, completed, svd};

op! {
    /// Singular values of the matrices in the last two dimensions, the largest first, and the matrices `u` and `v` of
    /// `input = u · s · vᴴ`, all in the type of `input`: as many columns as values, or with `full_matrices` as many as rows. Without
    /// `compute_uv`, `u` and `v` are one 0 each. A pair of columns may be that of MindSpore times a number of magnitude 1; those of
    /// equal values are any that span the same space. Numbers that are not finite are refused.
    Svd { input: Operand, full_matrices: bool = false, compute_uv: bool = true }
}

impl Operator for Svd {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.input, self.input.dtype());
        let (batch, [rows, cols]) = matrices(x)?;
        let k = rows.min(cols);
        let [m, n] = if self.full_matrices { [rows, cols] } else { [k, k] };
        let f = move |[a]: [Matrix; 1]| {
            let Factors { u, values, v } = svd(&a)?;
            Ok([Matrix::row(values), completed(&u, m)?, completed(&v, n)?])
        };
        let outs = [(d, shape(&[k])), (d, shape(&[rows, m])), (d, shape(&[cols, n]))];
        let rule = Each { batch, ins: [(x, [rows, cols])], outs, f };
        Ok(Values { rule, blank: (!self.compute_uv).then(|| shape(&[1])) })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[4, 3]).case("tall"),
            sample().tensor(DType::F64, &[2, 2, 3]).flag(true).case("full"),
            sample().arg(complex(DType::C64, &[3, 3])).flag(false).flag(true).case("c64"),
            sample().tensor(DType::F32, &[2, 3, 2]).flag(false).flag(false).case("values alone"),
        ]
    }
}

op! {
    /// Sum of the singular values of the matrices of dimensions `dim`, which `keepdim` keeps as 1. Without `dim`, or with the
    /// list of 1000 that MindSpore writes for that, `x` is one matrix.
    classic NuclearNorm { x: Operand, dim: Option<Ints> = None, keepdim: bool = false }
}

impl NuclearNorm {
    /// The dimensions of rows and columns.
    fn axes(&self) -> Result<Vec<usize>, OpError> {
        let all = matches!(self.dim.as_deref(), None | Some([1000]));
        let axes = self.x.axes(if all { &[] } else { self.dim.as_deref().unwrap_or_default() })?;
        ensure!(axes.len() == 2, "expected two dimensions, found {axes:?} of {}", self.x.fact);
        Ok(axes)
    }
}

impl Operator for NuclearNorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, axes) = (&self.x, self.axes()?);
        ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
        let lens = x.shape().iter().copied().enumerate();
        let dims: Shape = if self.keepdim {
            lens.map(|(d, len)| if axes.contains(&d) { 1 } else { len }).collect()
        } else {
            lens.filter(|(d, _)| !axes.contains(d)).map(|(_, len)| len).collect()
        };
        let fact = Fact { dtype: x.dtype(), shape: dims.clone() };
        let results = move || {
            let cols = axes.last().map_or(Ok(1), |&axis| dim(x.shape(), axis))?;
            let norm = |g: &[f64]| {
                let data = g.iter().copied().map(Complex64::from).collect();
                let a = Matrix { rows: g.len().checked_div(cols).unwrap_or(0), cols, data };
                Ok(svd(&a)?.values.iter().sum())
            };
            let norms = Groups::new(x.shape(), &axes).map(&x.f64s()?, norm)?;
            let norms = norms.into_iter().collect::<Result<Vec<f64>, OpError>>()?;
            Ok(vec![Tensor::from_f64s(x.dtype(), &dims, &norms)?])
        };
        Ok(Defined { facts: vec![fact], results })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 4])).case("matrix"),
            sample().arg(wave(DType::F64, &[3, 2, 4])).ints(&[0, -1]).flag(true).case("dimensions"),
        ]
    }
}
