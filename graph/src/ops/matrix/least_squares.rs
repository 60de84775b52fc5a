//! Solutions of systems with more or fewer equations than unknowns.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::single;
use crate::ops::kit::complex::part_of;
use crate::ops::kit::sample::{complex, cycle, sample};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op, op_enum, shape};

use super::algebra::{Matrix, ZERO};
use super::each::{Each, matrices};
use super::spectrum::{Svd, svd};

/// A least-squares problem that was solved.
struct Solved {
    y: Matrix,
    /// Number of singular values that are not 0 but for rounding.
    rank: usize,
    values: Vec<f64>,
}

/// The shortest `y` for which `|a · y − b|² + l2 · |y|²` is smallest; singular values below `tiny` times the largest count as 0.
fn least_squares(a: &Matrix, b: &Matrix, l2: f64, tiny: f64) -> Result<Solved, OpError> {
    let Svd { u, values, v } = svd(a)?;
    let least = values.first().copied().unwrap_or(0.0) * tiny * a.rows.max(a.cols) as f64;
    let rank = values.iter().take_while(|s| **s > least).count();
    let mut c = u.adjoint().times(b)?;
    for (i, s) in values.iter().enumerate() {
        let factor = if i < rank { s / (s * s + l2) } else { 0.0 };
        (0..c.cols).for_each(|j| c[(i, j)] *= factor);
    }
    Ok(Solved { y: v.times(&c)?, rank, values })
}

/// The relative error of a number of `dtype`, or of its parts.
fn precision(dtype: DType) -> f64 {
    match part_of(dtype) {
        DType::F64 => f64::EPSILON,
        DType::F32 => f64::from(f32::EPSILON),
        _ => 1.0 / 1024.0,
    }
}

op! {
    /// The `y` for which `|x · y − a|` is smallest, and of several such ones the shortest. `x` is a matrix of floats; `a` has its
    /// rows and type, and as a vector counts as one column. `fast` and `l2_regularizer` must be their defaults.
    classic Lstsq { x: Operand, a: Operand, fast: bool = true, l2_regularizer: f64 = 0.0 }
}

impl Operator for Lstsq {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b, d) = (&self.x, &self.a, self.x.dtype());
        let (batch, [rows, cols]) = matrices(a)?;
        let defaults = self.fast && self.l2_regularizer == 0.0;
        ensure!(defaults, "expected `fast` without a regularizer, found {} and {}", self.fast, self.l2_regularizer);
        let sides = b.shape().get(1).copied().unwrap_or(1);
        let fits =
            batch.is_empty() && (1..=2).contains(&b.rank()) && b.shape().first() == Some(&rows) && b.dtype() == d;
        ensure!(fits, "expected a matrix and right-hand sides for it, found {} and {}", a.fact, b.fact);
        let f = move |[a, b]: [Matrix; 2]| Ok([least_squares(&a, &b, 0.0, precision(d))?.y]);
        Ok(Each { batch, ins: [(a, [rows, cols]), (b, [rows, sides])], outs: [(d, shape(&[cols, sides]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[4, 3]).tensor(DType::F32, &[4, 2]).case("tall"),
            sample().tensor(DType::F64, &[2, 3]).tensor(DType::F64, &[2]).case("wide"),
        ]
    }
}

op! {
    /// The `y` for which `|matrix · y − rhs|² + l2_regularizer · |y|²` is smallest, and of several such ones the shortest; without
    /// `fast` there is no regularizer. Matrices of floats or complex numbers in the last two dimensions, of one type.
    classic MatrixSolveLs { matrix: Operand, rhs: Operand, l2_regularizer: Operand, fast: bool = true }
}

impl Operator for MatrixSolveLs {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b, d) = (&self.matrix, &self.rhs, self.matrix.dtype());
        let ((batch, [rows, cols]), (other, [also, sides])) = (matrices(a)?, matrices(b)?);
        let fits = batch == other && rows == also && b.dtype() == d;
        ensure!(fits, "expected right-hand sides for {}, found {}", a.fact, b.fact);
        single(&self.l2_regularizer)?;
        let f = move |[a, b]: [Matrix; 2]| {
            let l2 = if self.fast { self.l2_regularizer.f64s()?.first().copied().unwrap_or(0.0) } else { 0.0 };
            Ok([least_squares(&a, &b, l2, precision(d))?.y])
        };
        Ok(Each { batch, ins: [(a, [rows, cols]), (b, [rows, sides])], outs: [(d, shape(&[cols, sides]))], f })
    }

    fn cases() -> Vec<Case> {
        let a = |d, dims: &[usize]| sample().tensor(d, dims);
        let l2 = |x: f64| cycle(DType::F64, &[], &[x]);
        vec![
            a(DType::F32, &[4, 3]).tensor(DType::F32, &[4, 2]).arg(l2(0.0)).case("tall"),
            a(DType::F64, &[2, 2, 3]).tensor(DType::F64, &[2, 2, 1]).arg(l2(0.5)).case("regularized"),
            a(DType::F32, &[4, 2]).tensor(DType::F32, &[4, 1]).arg(l2(0.5)).flag(false).case("slow"),
            sample().arg(complex(DType::C64, &[3, 2])).arg(complex(DType::C64, &[3, 1])).arg(l2(1.0)).case("c64"),
        ]
    }
}

op_enum! {
    /// LAPACK's ways to solve a least-squares problem.
    Driver {
        /// For matrices of full rank.
        Gels = 0, "gels";
        /// By orthogonal factors.
        Gelsy = 1, "gelsy";
        /// By singular values, divide and conquer.
        Gelsd = 2, "gelsd";
        /// By singular values.
        Gelss = 3, "gelss";
    }
}

op! {
    /// The `y` for which `|a · y − b|` is smallest, and of several such ones the shortest. `a` has matrices in its last two
    /// dimensions, `b` as many matrices or vectors, of one type: floats or complex numbers.
    ///
    /// Three more results depend on `driver`, which is GELSY unless it is given, and have no elements otherwise: the squared errors
    /// of each column where there are more rows than columns (not by GELSY), the ranks as `i64` (not by GELS), and the singular
    /// values (by GELSD and GELSS).
    LstsqV2 { a: Operand, b: Operand, driver: Driver = Driver::Gelsy }
}

/// [`LstsqV2`] with all of its results, of which `has` says which are wanted.
struct Parts<R> {
    rule: R,
    has: [bool; 4],
}

impl<R: Rule> Rule for Parts<R> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let mut facts = self.rule.infer()?;
        for (fact, _) in facts.iter_mut().zip(self.has).filter(|(_, has)| !has) {
            fact.shape = shape(&[0]);
        }
        Ok(facts)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (facts, results) = (self.infer()?, self.rule.reference()?);
        let blank = |fact: &Fact| Ok(Tensor::zeros(fact.dtype, &fact.shape)?);
        results
            .into_iter()
            .zip(&facts)
            .zip(self.has)
            .map(|((y, fact), has)| if has { Ok(y) } else { blank(fact) })
            .collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no such operator")
    }
}

impl Operator for LstsqV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b, d) = (&self.a, &self.b, self.a.dtype());
        let (batch, [rows, cols]) = matrices(a)?;
        let tail = if b.rank() < a.rank() { 1 } else { 2 };
        let (other, sides) = b.shape().split_at(b.rank().saturating_sub(tail));
        let fits = batch == other && sides.first() == Some(&rows) && b.dtype() == d;
        ensure!(fits, "expected right-hand sides for {}, found {}", a.fact, b.fact);
        let columns: &[usize] = sides.get(1..).unwrap_or_default();
        let count = columns.first().copied().unwrap_or(1);
        let f = move |[a, b]: [Matrix; 2]| {
            let Solved { y, rank, values } = least_squares(&a, &b, 0.0, precision(d))?;
            let off = a.times(&y)?.add(&b.scaled(-1.0));
            let errors = Matrix::row((0..count).map(|j| off.square_of(j)));
            Ok([y, errors, Matrix { rows: 1, cols: 1, data: vec![ZERO + rank as f64] }, Matrix::row(values)])
        };
        let outs = [
            (d, [cols].iter().chain(columns).copied().collect()),
            (d, shape(&[count])),
            (DType::I64, Shape::new()),
            (part_of(d), shape(&[rows.min(cols)])),
        ];
        let by_values = matches!(self.driver, Driver::Gelsd | Driver::Gelss);
        let has = [true, rows > cols && self.driver != Driver::Gelsy, self.driver != Driver::Gels, by_values];
        Ok(Parts { rule: Each { batch, ins: [(a, [rows, cols]), (b, [rows, count])], outs, f }, has })
    }

    fn cases() -> Vec<Case> {
        let a = |d, dims: &[usize]| sample().tensor(d, dims);
        vec![
            a(DType::F32, &[4, 3]).tensor(DType::F32, &[4, 2]).case("tall"),
            a(DType::F64, &[2, 4, 3]).tensor(DType::F64, &[2, 4]).int(2).case("vectors"),
            a(DType::F64, &[2, 3]).tensor(DType::F64, &[2, 1]).int(3).case("wide"),
            a(DType::F32, &[4, 3]).tensor(DType::F32, &[4]).int(0).case("gels"),
        ]
    }
}
