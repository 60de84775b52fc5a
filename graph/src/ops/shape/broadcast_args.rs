use crate::op::{Case, Ints, Operator, Rule};
use crate::ops::kit::indices::sizes;
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Tensor, broadcast, ensure, op};

op! {
    /// The dimensions along which the gradients of two operands of shapes `x` and `y` that broadcast are summed up, as an `i64` list for
    /// each: those that only the other one has, and those of 1 that the other one has longer.
    object DynamicBroadcastGradientArgs, aliases [object "BroadcastGradientArgs"] { x: Ints, y: Ints } -> Tuple
}

/// The dimensions of the result along which `own` was repeated.
fn repeated(own: &[usize], whole: &[usize]) -> Result<Tensor, OpError> {
    let more = whole.len().saturating_sub(own.len());
    let one = |(d, len): (usize, &usize)| {
        let new = d.checked_sub(more).and_then(|d| own.get(d));
        (new.is_none() || new != Some(len)).then_some(d as i64)
    };
    let axes: Vec<i64> = whole.iter().enumerate().filter_map(one).collect();
    Ok(Tensor::from_i64s(DType::I64, &[axes.len()], &axes)?)
}

impl Operator for DynamicBroadcastGradientArgs {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, y) = (sizes(&self.x, "x")?, sizes(&self.y, "y")?);
        let whole = broadcast(&x, &y);
        ensure!(whole.is_some(), "expected shapes that broadcast, found {x:?} and {y:?}");
        let whole = whole.unwrap_or_default();
        Ok(vec![repeated(&x, &whole)?, repeated(&y, &whole)?])
    }

    fn cases() -> Vec<Case> {
        let on = |x: &[i64], y: &[i64]| sample().index(DType::I64, &[x.len()], x).index(DType::I64, &[y.len()], y);
        vec![
            on(&[2, 1, 3], &[4, 1]).exact("both"),
            on(&[3], &[2, 3]).exact("one"),
            on(&[1, 1], &[1]).exact("ones"),
            on(&[2, 3], &[2, 3]).exact("none"),
        ]
    }
}
