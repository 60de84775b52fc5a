use mindir_graph::task::Scalar;
use mindir_graph::{DType, Fact, OpError, Tensor};

/// What references compute in: `f64` for floats; `i128` for integers and `bool`, so that every type fits and sums that
/// wrap keep their low bits.
pub(super) trait Number: Copy {
    const ZERO: Self;
    const ONE: Self;
    /// Not above any other number.
    const LOWEST: Self;
    fn read(tensor: &Tensor) -> Result<Vec<Self>, OpError>;
    /// A tensor with each number rounded to, or wrapped in, the fact's element type.
    fn write(fact: &Fact, data: &[Self]) -> Result<Tensor, OpError>;
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self / count`; integers truncate, and division by 0 gives 0.
    fn over(self, count: usize) -> Self;
    /// Whether `self` comes before `other` among the largest numbers; NaN is above everything.
    fn above(self, other: Self) -> bool;
    /// Whether `self` comes before `other` among the smallest numbers; NaN is below everything.
    fn below(self, other: Self) -> bool;
    fn truth(self) -> bool;
    fn scalar(self) -> Scalar;
}

impl Number for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const LOWEST: f64 = f64::NEG_INFINITY;

    fn read(tensor: &Tensor) -> Result<Vec<f64>, OpError> {
        Ok(tensor.to_f64s()?)
    }

    fn write(fact: &Fact, data: &[f64]) -> Result<Tensor, OpError> {
        Ok(Tensor::from_f64s(fact.dtype, &fact.shape, data)?)
    }

    fn add(self, other: f64) -> f64 {
        self + other
    }

    fn mul(self, other: f64) -> f64 {
        self * other
    }

    fn over(self, count: usize) -> f64 {
        self / count as f64
    }

    fn above(self, other: f64) -> bool {
        !other.is_nan() && (self.is_nan() || self > other)
    }

    fn below(self, other: f64) -> bool {
        !other.is_nan() && (self.is_nan() || self < other)
    }

    fn truth(self) -> bool {
        self != 0.0
    }

    fn scalar(self) -> Scalar {
        Scalar::Float(self)
    }
}

impl Number for i128 {
    const ZERO: i128 = 0;
    const ONE: i128 = 1;
    const LOWEST: i128 = i64::MIN as i128;

    fn read(tensor: &Tensor) -> Result<Vec<i128>, OpError> {
        let bits = tensor.to_i64s()?;
        let widen = |x: i64| if tensor.dtype() == DType::U64 { x as u64 as i128 } else { x as i128 };
        Ok(bits.into_iter().map(widen).collect())
    }

    fn write(fact: &Fact, data: &[i128]) -> Result<Tensor, OpError> {
        let bits: Vec<i64> = data.iter().map(|&x| x as i64).collect();
        Ok(Tensor::from_i64s(fact.dtype, &fact.shape, &bits)?)
    }

    fn add(self, other: i128) -> i128 {
        self.wrapping_add(other)
    }

    fn mul(self, other: i128) -> i128 {
        self.wrapping_mul(other)
    }

    fn over(self, count: usize) -> i128 {
        self.checked_div(count as i128).unwrap_or(0)
    }

    fn above(self, other: i128) -> bool {
        self > other
    }

    fn below(self, other: i128) -> bool {
        self < other
    }

    fn truth(self) -> bool {
        self != 0
    }

    fn scalar(self) -> Scalar {
        Scalar::Int(self as i64)
    }
}

/// Evaluates `$body` with `$N` as the [`Number`] that elements of `$dtype` are computed in.
macro_rules! with_number {
    ($dtype:expr, $N:ident => $body:expr) => {
        if $dtype.is_float() {
            type $N = f64;
            $body
        } else {
            type $N = i128;
            $body
        }
    };
}
pub(super) use with_number;

/// Every element of a tensor, as programs see it.
pub(super) fn scalars(tensor: &Tensor) -> Result<Vec<Scalar>, OpError> {
    with_number!(tensor.dtype(), N => Ok(N::read(tensor)?.into_iter().map(Number::scalar).collect()))
}

/// A tensor of the results of programs.
pub(super) fn from_scalars(fact: &Fact, data: &[Scalar]) -> Result<Tensor, OpError> {
    if fact.dtype.is_float() {
        let floats: Vec<f64> = data.iter().map(|s| s.as_f64()).collect();
        return Ok(Tensor::from_f64s(fact.dtype, &fact.shape, &floats)?);
    }
    let ints: Vec<i64> = data.iter().map(|s| s.as_i64()).collect();
    Ok(Tensor::from_i64s(fact.dtype, &fact.shape, &ints)?)
}
