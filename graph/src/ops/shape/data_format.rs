//! Orders of dimensions.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{item, rearrange};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Tensor, ensure, op};

/// For each letter of `to` its place in `from`.
fn places(from: &str, to: &str) -> Result<Vec<usize>, OpError> {
    let place = |letter: char| from.chars().position(|other| other == letter);
    let places: Option<Vec<usize>> = to.chars().map(place).collect();
    let four = from.chars().count() == 4 && to.chars().count() == 4;
    places
        .filter(|_| four)
        .ok_or_else(|| OpError::Invalid(format!("expected two orders of four letters, found {from} and {to}")))
}

op! {
    /// For each number of a dimension of `dst_format`, perhaps counted from the end, the number of it in `src_format`.
    classic DataFormatDimMap { input_x: Operand, src_format: String = "NHWC".into(), dst_format: String = "NCHW".into() }
}

impl Operator for DataFormatDimMap {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input_x;
        let facts = || {
            ensure!(x.dtype().is_int(), "expected integers, found {}", x.fact);
            places(&self.src_format, &self.dst_format)?;
            Ok(vec![x.fact.clone()])
        };
        let results = |_| {
            let places = places(&self.src_format, &self.dst_format)?;
            let one = |d: i64| {
                ensure!((-4..4).contains(&d), "expected dimensions from -4 to 3, found {d}");
                Ok(*item(&places, d.rem_euclid(4) as usize)? as i64)
            };
            let y = x.i64s()?.into_iter().map(one).collect::<Result<Vec<_>, OpError>>()?;
            Ok(vec![Tensor::from_i64s(x.dtype(), x.shape(), &y)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let s = || sample().index(DType::I32, &[6], &[0, 1, 2, 3, -1, -4]);
        vec![s().exact("channels first"), s().text("NCHW").text("NHWC").exact("channels last")]
    }
}

op! {
    /// The four elements or rows of `input_x`, one for each dimension of `src_format`, in the order of `dst_format`.
    classic DataFormatVecPermute { input_x: Operand, src_format: String = "NHWC".into(), dst_format: String = "NCHW".into() }
}

impl Operator for DataFormatVecPermute {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input_x;
        let facts = || {
            ensure!(matches!(x.shape(), [4] | [4, 2]), "expected [4] or [4, 2], found {}", x.fact);
            places(&self.src_format, &self.dst_format)?;
            Ok(vec![x.fact.clone()])
        };
        let results = |_| {
            let (places, row) = (places(&self.src_format, &self.dst_format)?, x.count() / 4);
            let from = |index: &[usize]| Some(places.get(*index.first()?)? * row + index.get(1).copied().unwrap_or(0));
            Ok(vec![rearrange(x.tensor()?, x.shape(), from)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().index(DType::I32, &[4], &[1, 2, 3, 4]).exact("vector"),
            sample().tensor(DType::I64, &[4, 2]).text("NCHW").text("NHWC").exact("pairs"),
        ]
    }
}
