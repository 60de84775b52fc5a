//! Updates of the slices along a dimension that indices name.

use super::combine::{Combine, apply, check_updates};
use super::gather::all_places;
use super::scatter_nd::{lower_nd, scatter_nd};
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Effect, Ints, Lowers, Operand, Operator, Pure, Rule, Writes};
use crate::ops::kit::indices::{around, replaced, slices_at};
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// Numbers of slices.
enum Picks<'a> {
    Given(&'a [i64]),
    Operand(&'a Operand),
}

/// `x` with the slices `picks` along a dimension updated by those of `updates`, in order.
struct Rows<'a> {
    x: &'a Operand,
    axis: i64,
    picks: Picks<'a>,
    updates: &'a Operand,
    how: Combine,
}

impl Rows<'_> {
    fn axis(&self) -> Result<usize, OpError> {
        let (x, updates, axis) = (self.x, self.updates, self.x.axis(self.axis)?);
        check_updates(x, updates, self.how)?;
        let count = match self.picks {
            Picks::Given(picks) => picks.len(),
            Picks::Operand(index) => {
                let vector = index.rank() <= 1 && index.dtype().is_int();
                ensure!(vector, "expected a vector of indices, found {}", index.fact);
                index.count()
            }
        };
        let want = replaced(x.shape(), axis, count);
        ensure!(
            updates.shape() == want.as_slice(),
            "expected updates of {:?}, found {}",
            want.as_slice(),
            updates.fact
        );
        Ok(axis)
    }
}

impl Rule for Rows<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.axis()?;
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let [outer, len, inner] = around(self.x.shape(), self.axis()?)?;
        let rows = match self.picks {
            Picks::Given(picks) => all_places(picks, len)?,
            Picks::Operand(index) => all_places(&index.i64s()?, len)?,
        };
        let places: Vec<usize> = slices_at([outer, len, inner], &rows).collect();
        Ok(vec![apply(self.x.tensor()?, &places, self.updates.tensor()?, self.how)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.axis()? != 0 {
            return Ok(None);
        }
        let index = match self.picks {
            Picks::Given(picks) => b.constant(Tensor::from_i64s(DType::I64, &[picks.len(), 1], picks)?),
            Picks::Operand(index) => b.reshape(index.v, &[index.count(), 1])?,
        };
        Ok(lower_nd(b, self.x.v, index, self.updates.v, self.how).map(|y| vec![y]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (d, axis) = (self.x.dtype(), self.x.axis(self.axis)?);
        let wide = if self.how == Combine::Replace { d } else { machine(d) };
        let mut perm: Vec<usize> = (0..self.x.rank()).collect();
        perm.swap(0, axis);
        let (x, updates) = (e.as_type(self.x, wide)?, e.as_type(self.updates, wide)?);
        let (x, updates) = (e.transpose(x, &perm), e.transpose(updates, &perm));
        let index = match self.picks {
            Picks::Given(picks) => e.vector(picks),
            Picks::Operand(index) => e.as_type(index, DType::I64)?,
        };
        let index = e.reshape(index, &[-1, 1]);
        let y = scatter_nd(e, x, index, updates, self.how, wide)?;
        let y = e.transpose(y, &perm);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }
}

macro_rules! add_to_slices {
    ($(#[doc = $doc:literal])+ $name:ident { $x:ident $([$old:literal])?, $indices:ident, $y:ident $([$older:literal])? $(, $more:ident)* }) => {
        op! {
            $(#[doc = $doc])+
            classic $name {
                $x $([$old])?: Operand,
                $indices: Operand,
                $y $([$older])?: Operand,
                axis: i64,
                $($more: bool = true),*
            }
        }

        impl Operator for $name {
            const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
            const PURE: Option<Pure> = Some(Pure::Of("IndexAddExt", &[0, 3, 1, 2]));

            fn rule(&self) -> Result<impl Rule, OpError> {
                let picks = Picks::Operand(&self.$indices);
                Ok(Rows { x: &self.$x, axis: self.axis, picks, updates: &self.$y, how: Combine::Add })
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, &[4, 3]).index(DType::I32, &[2], &[1, 1]);
                vec![
                    s.clone().tensor(DType::F32, &[2, 3]).int(0).case("rows"),
                    s.tensor(DType::F32, &[4, 2]).int(-1).case("columns"),
                ]
            }
        }
    };
}

add_to_slices! {
    /// Writes variable `x`, with the slices of `y` along `axis` added to those that `indices` names, and returns it. Numbers of
    /// one type; an index out of range is an error.
    IndexAdd { x ["input_x"], indices, y ["input_y"], use_lock, check_index_bound }
}

add_to_slices! {
    /// Writes variable `var`, with the slices of `updates` along `axis` added to those that `indices` names, and returns it.
    /// Numbers of one type; an index out of range is an error.
    InplaceIndexAdd { var, indices, updates }
}

macro_rules! update_rows {
    ($(#[doc = $doc:literal])+ $name:ident $how:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name { x: Operand, v ["input_v"]: Operand, indices: Ints as List }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Rows { x: &self.x, axis: 0, picks: Picks::Given(&self.indices), updates: &self.v, how: $how })
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, &[4, 3]).tensor(DType::F32, &[3, 3]).ints(&[2, 0, 2]);
                vec![s.case("rows"), sample().tensor(DType::I32, &[4]).tensor(DType::I32, &[1]).int(1).exact("element")]
            }
        }
    };
}

update_rows! {
    /// `x` with the rows `v` added to those that `indices` names. Numbers of one type; an index out of range is an error.
    InplaceAdd Combine::Add
}
update_rows! {
    /// `x` with the rows `v` subtracted from those that `indices` names. Numbers of one type; an index out of range is an error.
    InplaceSub Combine::Sub
}
update_rows! {
    /// `x` with the rows that `indices` names replaced by those of `v`; the last of several counts. Any type.
    InplaceUpdate Combine::Replace
}

op! {
    /// As `InplaceUpdate`, with the arguments in another order.
    object InplaceUpdateV2 { x: Operand, indices: Ints, v: Operand }
}

impl Operator for InplaceUpdateV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let picks = Picks::Given(&self.indices);
        Ok(Rows { x: &self.x, axis: 0, picks, updates: &self.v, how: Combine::Replace })
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[4, 3]).ints(&[2, 0]).tensor(DType::F32, &[2, 3]).exact("rows")]
    }
}
