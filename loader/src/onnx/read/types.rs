//! What is known of a value's type without running the model.
//!
//! Nothing here is ever guessed. A length is either fixed, because the file declares it or it follows from what the file
//! declares, or it is a name: the same name is the same length in every run, and nothing else is known of it.

use mindir_graph::{DType, Dim, Fact, Spec};

/// The length of a dimension, or an element of a tensor of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Fixed(i64),
    /// Whatever it is, it is the same wherever this name stands.
    Named(u32),
    Open,
}

impl Extent {
    /// The number, if it is fixed.
    pub fn fixed(self) -> Option<i64> {
        if let Extent::Fixed(n) = self { Some(n) } else { None }
    }

    /// What `f` makes of the number; open if it is not fixed.
    pub fn map(self, f: impl FnOnce(i64) -> Option<i64>) -> Extent {
        self.fixed().and_then(f).map_or(Extent::Open, Extent::Fixed)
    }
}

/// Lengths of dimensions.
pub(super) type Dims = Vec<Extent>;

/// Element type, and dimensions if their number is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Type {
    pub dtype: DType,
    pub dims: Option<Dims>,
}

impl Type {
    pub fn new(dtype: DType, dims: impl Into<Option<Dims>>) -> Type {
        Type { dtype, dims: dims.into() }
    }

    /// The element type and shape, if every length is fixed.
    pub fn fact(&self) -> Option<Fact> {
        let length = |d: &Extent| usize::try_from(d.fixed()?).ok();
        let shape = self.dims.as_ref()?.iter().map(length).collect::<Option<_>>()?;
        Some(Fact { dtype: self.dtype, shape })
    }

    /// What a graph declares, where `open` says what it declares of a length that is not fixed in a dimension.
    pub fn spec(&self, open: impl Fn(usize, Extent) -> Dim) -> Spec {
        let dim = |(axis, d): (usize, &Extent)| match d.fixed().and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Dim::Known(n),
            None => open(axis, *d),
        };
        let dims = self.dims.as_ref().map(|dims| dims.iter().enumerate().map(dim).collect());
        Spec { dtype: Some(self.dtype), dims }
    }

    /// The same with every length open.
    pub fn ranked(&self) -> Type {
        Type::new(self.dtype, self.dims.as_ref().map(|dims| vec![Extent::Open; dims.len()]))
    }

    /// What holds for both; `None` if the element types differ.
    pub fn either(&self, other: &Type) -> Option<Type> {
        let dims = match (&self.dims, &other.dims) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                Some(a.iter().zip(b).map(|(a, b)| if a == b { *a } else { Extent::Open }).collect())
            }
            _ => None,
        };
        (self.dtype == other.dtype).then(|| Type::new(self.dtype, dims))
    }
}

impl From<&Fact> for Type {
    fn from(fact: &Fact) -> Type {
        Type::new(fact.dtype, fact.shape.iter().map(|&d| Extent::Fixed(d as i64)).collect::<Dims>())
    }
}
