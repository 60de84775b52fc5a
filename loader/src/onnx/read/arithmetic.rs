//! Short forms of the nodes that compositions are made of.

use mindir_graph::DType;

use super::import::{Import, Step, Val};

impl Import {
    /// An operator of one tensor.
    pub fn one(&mut self, name: &'static str, x: &Val) -> Step {
        self.op(name, vec![x.into()])
    }

    /// An operator of two tensors.
    pub fn two(&mut self, name: &'static str, a: &Val, b: &Val) -> Step {
        self.op(name, vec![a.into(), b.into()])
    }

    /// An operator of a tensor and a number of its type.
    pub fn with(&mut self, name: &'static str, a: &Val, b: f64) -> Step {
        let b = self.scalar(a.dtype(), b)?;
        self.two(name, a, &b)
    }

    /// `low` or more, `high` or less.
    pub fn clamped(&mut self, x: &Val, low: f64, high: f64) -> Step {
        let x = self.with("Maximum", x, low)?;
        self.with("Minimum", &x, high)
    }

    /// `a` where `cond` holds, else `b`.
    pub fn select(&mut self, cond: &Val, a: &Val, b: &Val) -> Step {
        self.op("Select", vec![cond.into(), a.into(), b.into()])
    }

    /// `a` where `cond` holds, else a number of its type.
    pub fn select_or(&mut self, cond: &Val, a: &Val, b: f64) -> Step {
        let b = self.scalar(a.dtype(), b)?;
        self.select(cond, a, &b)
    }

    /// A reduction along `axes`, which stay as dimensions of 1 if `keep` says so.
    pub fn reduce(&mut self, name: &'static str, x: &Val, axes: &[i64], keep: bool) -> Step {
        self.op(name, vec![x.into(), axes.into(), keep.into()])
    }

    /// The dimensions in the order `perm`.
    pub fn transposed(&mut self, x: &Val, perm: &[i64]) -> Step {
        self.op("Transpose", vec![x.into(), perm.into()])
    }

    /// The parts of `x` along `axis` that `index` names.
    pub fn gathered(&mut self, x: &Val, index: &Val, axis: i64) -> Step {
        self.op("Gather", vec![x.into(), index.into(), axis.into(), 0i64.into()])
    }

    /// `x` with another dimension of 1 in each of the places, which count from the front and rise.
    pub fn with_ones(&mut self, x: &Val, places: &[i64]) -> Step {
        places.iter().try_fold(x.clone(), |x, &at| self.op("ExpandDims", vec![x.into(), at.into()]))
    }

    /// `x` as `dtype`.
    pub fn cast(&mut self, x: &Val, dtype: DType) -> Step {
        if x.dtype() == dtype {
            Ok(Val { narrow: None, ..x.clone() })
        } else {
            self.op("Cast", vec![x.into(), dtype.into()])
        }
    }
}
