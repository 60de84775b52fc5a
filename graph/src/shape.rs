//! Shapes with known dimensions, and what is known of shapes before a run.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::Printable;

/// Dimensions of a tensor, outermost first. A scalar has none.
pub type Shape = SmallVec<[usize; 6]>;

/// Element strides, one per dimension; 0 repeats an element, negative walks backwards.
pub type Strides = SmallVec<[isize; 6]>;

/// The shape with these dimensions.
pub fn shape(dims: &[usize]) -> Shape {
    Shape::from_slice(dims)
}

/// Number of elements; `None` if the product of the dimensions overflows `isize`, in which strides count, even if that of others
/// is 0: what fits can be multiplied in any order and in parts.
pub fn checked_count(dims: &[usize]) -> Option<usize> {
    let others = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))?;
    let count = if dims.contains(&0) { 0 } else { others };
    (others <= isize::MAX as usize).then_some(count)
}

/// Number of elements of a shape that is known to fit.
pub fn count(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// Row-major element strides of a dense tensor.
pub fn dense_strides(dims: &[usize]) -> Strides {
    let mut strides: Strides = SmallVec::from_elem(0, dims.len());
    let mut step = 1isize;
    for (s, &d) in strides.iter_mut().zip(dims).rev() {
        *s = step;
        step = step.saturating_mul(d as isize);
    }
    strides
}

/// Strides of a dense tensor of shape `from` when it is repeated to shape `to` (right-aligned, as in NumPy): 0 where the
/// dimension is missing or 1 in `from` and not in `to`. `None` if the shapes do not broadcast.
pub fn broadcast_strides(from: &[usize], to: &[usize]) -> Option<Strides> {
    let lead = to.len().checked_sub(from.len())?;
    let dense = dense_strides(from);
    let own = from.iter().zip(to.iter().skip(lead)).zip(&dense).map(|((from, to), step)| match (from, to) {
        (a, b) if a == b => Some(*step),
        (1, _) => Some(0),
        _ => None,
    });
    std::iter::repeat_n(Some(0), lead).chain(own).collect()
}

/// The shape that `a` and `b` both broadcast to (right-aligned, as in NumPy); `None` if there is none.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let joint = |dims| match dims {
        (x, y) if x == y => Some(x),
        (1, y) => Some(y),
        (x, 1) => Some(x),
        _ => None,
    };
    wide(a, rank).zip(wide(b, rank)).map(joint).collect()
}

/// `dims` with ones in front, `rank` of them together.
fn wide(dims: &[usize], rank: usize) -> impl Iterator<Item = usize> {
    std::iter::repeat_n(1, rank.saturating_sub(dims.len())).chain(dims.iter().copied())
}

/// The dimensions as `[outer, len, inner]`: how many elements there are before `axis`, along it and after it; `None` if there is
/// no such axis.
pub fn around(dims: &[usize], axis: usize) -> Option<[usize; 3]> {
    let (outer, rest) = dims.split_at_checked(axis)?;
    let (len, inner) = rest.split_first()?;
    Some([count(outer), *len, count(inner)])
}

/// `axis` counted from the front, where negative values count from the back; `None` if it is out of range for `rank`. Indices of
/// elements count the same way.
pub fn normalize_axis(axis: i64, rank: usize) -> Option<usize> {
    let a = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    (a >= 0 && (a as usize) < rank).then_some(a as usize)
}

/// One dimension of a shape that may not be known before a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always this long.
    Known(usize),
    /// Any length, which is meant to be the same wherever a model's inputs and results have this name.
    Named(Arc<str>),
    /// Any length.
    Unknown,
}

impl Dim {
    /// The length, if it is known.
    pub fn size(&self) -> Option<usize> {
        if let Dim::Known(n) = self { Some(*n) } else { None }
    }

    /// Whether it may be `n` long.
    pub fn takes(&self, n: usize) -> bool {
        self.size().is_none_or(|size| size == n)
    }
}

impl From<Option<usize>> for Dim {
    fn from(size: Option<usize>) -> Dim {
        size.map_or(Dim::Unknown, Dim::Known)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(n) => write!(f, "{n}"),
            Dim::Named(name) if is_plain(name) => f.write_str(name),
            Dim::Named(name) => write!(f, "\"{}\"", Printable(name)),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

/// Whether a name among dimensions is taken for nothing else.
fn is_plain(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':' | '+' | '*');
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(inner) && name.len() <= 64
}

/// What a file declares about a value: element type and dimensions, each possibly unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Element type, if declared.
    pub dtype: Option<crate::DType>,
    /// Dimensions; `None` when not even the rank is declared.
    pub dims: Option<SmallVec<[Dim; 6]>>,
}

impl Spec {
    /// A specification with every dimension known.
    pub fn fixed(dtype: crate::DType, dims: &[usize]) -> Spec {
        Spec { dtype: Some(dtype), dims: Some(dims.iter().map(|&d| Dim::Known(d)).collect()) }
    }

    /// Whether a tensor of these dimensions is one.
    pub fn takes(&self, shape: &[usize]) -> bool {
        let fits =
            |dims: &SmallVec<[Dim; 6]>| dims.len() == shape.len() && dims.iter().zip(shape).all(|(d, n)| d.takes(*n));
        self.dims.as_ref().is_none_or(fits)
    }

    /// The shape, if every dimension is known.
    pub fn shape(&self) -> Option<Shape> {
        self.dims.as_ref()?.iter().map(Dim::size).collect()
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            Some(d) => write!(f, "{d} ")?,
            None => f.write_str("? ")?,
        }
        let Some(dims) = &self.dims else { return f.write_str("[..]") };
        f.write_str("[")?;
        for (i, d) in dims.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

/// Element type and shape of a value in one run.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fact {
    /// Element type.
    pub dtype: crate::DType,
    /// Dimensions.
    pub shape: Shape,
}

impl Fact {
    /// A fact with these dimensions.
    pub fn new(dtype: crate::DType, dims: &[usize]) -> Fact {
        Fact { dtype, shape: shape(dims) }
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        count(&self.shape)
    }

    /// Number of bytes of a dense tensor.
    pub fn bytes(&self) -> usize {
        self.count() * self.dtype.size()
    }

    /// Number of bytes of a dense tensor, if they can be counted, and its elements in any order.
    pub fn checked_bytes(&self) -> Option<usize> {
        checked_count(&self.shape)?.checked_mul(self.dtype.size())
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The dimensions, of which there must be `N`.
    ///
    /// # Errors
    /// [`OpError::Invalid`](crate::OpError::Invalid) if there are not.
    pub fn ranked<const N: usize>(&self) -> Result<[usize; N], crate::OpError> {
        let wrong = |_| crate::OpError::Invalid(format!("expected rank {N}, found {self}"));
        self.shape.as_slice().try_into().map_err(wrong)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape.as_slice())
    }
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_do_not_overflow() {
        assert_eq!(checked_count(&[]), Some(1));
        assert_eq!(checked_count(&[2, 0, usize::MAX / 4]), Some(0));
        assert_eq!(checked_count(&[2, 0, usize::MAX / 2]), None);
        assert_eq!(checked_count(&[2, 0, usize::MAX]), None);
        assert_eq!(checked_count(&[usize::MAX, 2]), None);
    }

    #[test]
    fn broadcasting_is_right_aligned() {
        assert_eq!(broadcast(&[4, 1, 3], &[5, 1]), Some(shape(&[4, 5, 3])));
        assert_eq!(broadcast(&[2], &[3]), None);
        assert_eq!(broadcast_strides(&[5, 1], &[4, 5, 3]).unwrap().as_slice(), [0, 1, 0]);
        assert_eq!(broadcast_strides(&[4, 5], &[5]), None);
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(normalize_axis(-1, 3), Some(2));
        assert_eq!(normalize_axis(3, 3), None);
        assert_eq!(normalize_axis(-4, 3), None);
    }
}
