//! What is known of a value's type without running the model.
//!
//! Nothing here is ever guessed. A length is either fixed, because the file declares it or it follows from what the file
//! declares, or it is a name: the same name is the same length in every run, and nothing else is known of it.

use mindir_graph::{DType, Dim, Fact, Spec};

pub(super) use mindir_graph::onnx::{Dims, Length};

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
        let length = |d: &Length| usize::try_from(d.fixed()?).ok();
        let shape = self.dims.as_ref()?.iter().map(length).collect::<Option<_>>()?;
        Some(Fact { dtype: self.dtype, shape })
    }

    /// What a graph declares, where `open` says what it declares of a length that is not fixed in a dimension.
    pub fn spec(&self, open: impl Fn(usize, Length) -> Dim) -> Spec {
        let dim = |(axis, d): (usize, &Length)| match d.fixed().and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Dim::Known(n),
            None => open(axis, *d),
        };
        let dims = self.dims.as_ref().map(|dims| dims.iter().enumerate().map(dim).collect());
        Spec { dtype: Some(self.dtype), dims }
    }

    /// The same with every length open.
    pub fn ranked(&self) -> Type {
        Type::new(self.dtype, self.dims.as_ref().map(|dims| vec![Length::Open; dims.len()]))
    }

    /// What holds for both; `None` if the element types differ.
    pub fn either(&self, other: &Type) -> Option<Type> {
        let dims = match (&self.dims, &other.dims) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                Some(a.iter().zip(b).map(|(a, b)| if a == b { *a } else { Length::Open }).collect())
            }
            _ => None,
        };
        (self.dtype == other.dtype).then(|| Type::new(self.dtype, dims))
    }
}

impl From<&Fact> for Type {
    fn from(fact: &Fact) -> Type {
        Type::new(fact.dtype, fact.shape.iter().map(|&d| Length::Fixed(d as i64)).collect::<Dims>())
    }
}
