//! Putting together the checkpoints of several devices that each hold a part of the parameters.

use bytes::Bytes;
use thiserror::Error;

use super::{Array, Checkpoint, Value};
use crate::Printable;
use crate::error::TensorFault;
use crate::mindir::tensor::product;

/// Why checkpoints of several devices do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("entry {}: {why}", Printable(.name))]
pub struct IntegrateError {
    /// Name of the entry.
    pub name: String,
    /// What is wrong.
    pub why: IntegrateFault,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntegrateFault {
    /// A device does not have it.
    #[error("checkpoint {0} does not have it")]
    Absent(usize),
    /// It is not divided, but devices have different values.
    #[error("checkpoint {0} has another value, and it is not said to be divided")]
    Differs(usize),
    /// The parts cannot be joined.
    #[error("checkpoint {0} has another element type, or dimensions that do not fit along axis {1}")]
    Part(usize, usize),
    /// A text cannot be divided.
    #[error("a text cannot be divided")]
    Text,
    /// The whole is too large.
    #[error("{0}")]
    Tensor(#[from] TensorFault),
}

impl Checkpoint {
    /// One checkpoint from those of several devices, like `integrated_save` in MindSpore. `axis` says along which dimension
    /// an entry was divided, in the order of the devices; one that was not must have the same value everywhere.
    ///
    /// ```
    /// use mindir_graph::Tensor;
    /// use mindir_loader::ckpt::Checkpoint;
    ///
    /// let device = |number: f32| -> Checkpoint {
    ///     [("w", Tensor::from_vec(&[1, 2], vec![number; 2]).unwrap()), ("b", Tensor::vector(&[5.0f32]))].into_iter().collect()
    /// };
    /// let whole = Checkpoint::integrate(&[device(0.0), device(1.0)], |name| (name == "w").then_some(0))?;
    /// let w = whole.get("w").unwrap().array().unwrap().tensor()?;
    /// assert_eq!(w, Tensor::from_vec(&[2, 2], vec![0.0f32, 0.0, 1.0, 1.0])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first entry that does not fit.
    pub fn integrate(devices: &[Self], axis: impl Fn(&str) -> Option<usize>) -> Result<Self, IntegrateError> {
        let mut whole = Self::new();
        for name in devices.iter().flat_map(Self::names) {
            if whole.get(name).is_none() {
                let fail = |why| IntegrateError { name: name.to_string(), why };
                let value = |(number, device): (usize, &'_ Self)| {
                    device.get(name).cloned().ok_or(IntegrateFault::Absent(number))
                };
                let values = devices.iter().enumerate().map(value).collect::<Result<Vec<Value>, _>>().map_err(fail)?;
                whole.insert(name, join(values, axis(name)).map_err(fail)?);
            }
        }
        Ok(whole)
    }
}

fn join(values: Vec<Value>, axis: Option<usize>) -> Result<Value, IntegrateFault> {
    let Some(axis) = axis else {
        let first = values.first().cloned().ok_or(IntegrateFault::Absent(0))?;
        let other = values.iter().position(|value| *value != first);
        return other.map_or(Ok(first), |number| Err(IntegrateFault::Differs(number)));
    };
    let arrays: Vec<&Array> = values.iter().map(Value::array).collect::<Option<_>>().ok_or(IntegrateFault::Text)?;
    Ok(concat(&arrays, axis)?.into())
}

/// The arrays one after the other along a dimension.
fn concat(arrays: &[&Array], axis: usize) -> Result<Array, IntegrateFault> {
    let first = arrays.first().ok_or(IntegrateFault::Absent(0))?;
    let mut dims = first.dims().to_vec();
    let mut total = 0usize;
    for (number, array) in arrays.iter().enumerate() {
        let mut like_first = array.dims().to_vec();
        let own =
            like_first.get_mut(axis).zip(first.dims().get(axis)).map(|(dim, wanted)| std::mem::replace(dim, *wanted));
        let own = own.filter(|_| like_first == first.dims() && array.element() == first.element());
        total = total.saturating_add(own.ok_or(IntegrateFault::Part(number, axis))?);
    }
    dims.get_mut(axis).into_iter().for_each(|dim| *dim = total);
    if axis == 0 {
        // They follow each other as they are.
        let mut parts = arrays.iter().flat_map(|array| array.parts().to_vec());
        let mut whole = Array::part(first.element(), dims.as_slice().into(), parts.next().unwrap_or_default());
        parts.try_for_each(|part| whole.append(Array::part(first.element(), dims.as_slice().into(), part))).ok();
        whole.check()?;
        return Ok(whole);
    }
    let rows = product(first.dims().get(..axis).unwrap_or_default()).ok_or(TensorFault::Overflow)?;
    let pieces: Vec<Bytes> = arrays.iter().map(|array| array.bytes()).collect();
    let mut all = Vec::with_capacity(pieces.iter().map(Bytes::len).sum());
    for row in 0..rows {
        for piece in &pieces {
            let len = piece.len() / rows;
            all.extend_from_slice(piece.get(row * len..(row + 1) * len).unwrap_or_default());
        }
    }
    Ok(Array::new(first.element(), &dims, all.into())?)
}

#[cfg(test)]
mod tests {
    use mindir_graph::Tensor;

    use super::*;

    fn one(tensor: Tensor) -> Checkpoint {
        [("w", tensor)].into_iter().collect()
    }

    fn numbers(shape: &[usize], from: i32) -> Tensor {
        Tensor::from_vec(shape, (from..from + shape.iter().product::<usize>() as i32).collect()).unwrap()
    }

    #[test]
    fn parts_are_joined_along_any_dimension() {
        let (a, b) = (numbers(&[2, 1, 2], 0), numbers(&[2, 2, 2], 10));
        let joined = |axis| Checkpoint::integrate(&[one(a.clone()), one(b.clone())], |_| Some(axis));
        let whole = joined(1).unwrap().get("w").unwrap().array().unwrap().tensor().unwrap();
        let expected = vec![0, 1, 10, 11, 12, 13, 2, 3, 14, 15, 16, 17];
        assert_eq!(whole, Tensor::from_vec(&[2, 3, 2], expected).unwrap());
        for axis in [0, 2, 3] {
            assert_eq!(joined(axis).unwrap_err().why, IntegrateFault::Part(if axis == 3 { 0 } else { 1 }, axis));
        }
        let rows = Checkpoint::integrate(&[one(numbers(&[1, 2], 0)), one(numbers(&[2, 2], 2))], |_| Some(0)).unwrap();
        assert_eq!(rows.get("w").unwrap().array().unwrap().tensor().unwrap(), numbers(&[3, 2], 0));
    }

    #[test]
    fn what_is_not_divided_must_agree() {
        let (a, b) = (one(numbers(&[2], 0)), one(numbers(&[2], 1)));
        assert_eq!(Checkpoint::integrate(&[a.clone(), a.clone()], |_| None).unwrap(), a);
        assert_eq!(Checkpoint::integrate(&[a.clone(), b], |_| None).unwrap_err().why, IntegrateFault::Differs(1));
        let empty = Checkpoint::new();
        assert_eq!(Checkpoint::integrate(&[empty, a], |_| None).unwrap_err().why, IntegrateFault::Absent(0));
        let text: Checkpoint = [("w", "x")].into_iter().collect();
        assert_eq!(Checkpoint::integrate(&[text.clone(), text], |_| Some(0)).unwrap_err().why, IntegrateFault::Text);
    }
}
