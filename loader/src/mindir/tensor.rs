//! A tensor whose contents fit its shape and element type.

use bytes::Bytes;
use mindir_graph::DType;
use mindir_proto::mindir::{CompressionType, DataType, TensorProto};
use smallvec::SmallVec;

use crate::element::ElementType;
use crate::error::TensorFault;

/// Element type, shape and contents of a weight or constant.
///
/// There are exactly as many bytes as shape and element type need; truth values are 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorData {
    /// Element type.
    pub element: ElementType,
    /// Dimensions, outermost first; none for a scalar.
    pub dims: SmallVec<[usize; 6]>,
    /// Contents, little-endian and row-major.
    pub bytes: Bytes,
}

impl TensorData {
    /// The tensor with the contents of its `raw_data`, which may be absent when the tensor has no elements.
    pub fn of(tensor: &TensorProto, max_rank: usize) -> Result<Self, TensorFault> {
        let facts = Facts::of(tensor, max_rank)?;
        let bytes = match &tensor.raw_data {
            Some(bytes) => bytes.clone(),
            None if facts.elements == 0 => Bytes::new(),
            None => return Err(TensorFault::NoData),
        };
        facts.check(&bytes)?;
        Ok(Self { element: facts.element, dims: facts.dims, bytes })
    }
}

/// What a tensor says about its contents.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) element: ElementType,
    pub(super) dims: SmallVec<[usize; 6]>,
    /// Number of elements.
    pub(super) elements: usize,
    /// Number of bytes.
    pub(super) len: usize,
}

impl Facts {
    pub(super) fn of(tensor: &TensorProto, max_rank: usize) -> Result<Self, TensorFault> {
        let compression = tensor.compression_type.unwrap_or_default();
        if compression != CompressionType::NoCompression as i32 {
            return Err(TensorFault::Compression(compression));
        }
        let code = tensor.data_type.unwrap_or_default();
        if code == DataType::String as i32 {
            return Err(TensorFault::NoTensors("string"));
        }
        let element = ElementType::from_code(code).ok_or(TensorFault::ElementType(code))?;
        check_rank(&tensor.dims, max_rank)?;
        let mut dims = SmallVec::with_capacity(tensor.dims.len());
        for (axis, &value) in tensor.dims.iter().enumerate() {
            if value < 0 {
                return Err(TensorFault::Dimension { axis, value });
            }
            dims.push(usize::try_from(value).map_err(|_| TensorFault::Overflow)?);
        }
        let elements = product(&dims).ok_or(TensorFault::Overflow)?;
        let len = elements.checked_mul(element.size()).ok_or(TensorFault::Overflow)?;
        Ok(Self { element, dims, elements, len })
    }

    /// Checks that `bytes` can be the contents.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), TensorFault> {
        self.check_len(bytes.len() as u64)?;
        if self.element != ElementType::Of(DType::Bool) {
            return Ok(());
        }
        match bytes.iter().position(|byte| *byte > 1) {
            None => Ok(()),
            Some(index) => {
                Err(TensorFault::Truth { index: index as u64, value: bytes.get(index).copied().unwrap_or(0) })
            }
        }
    }

    pub(super) fn check_len(&self, found: u64) -> Result<(), TensorFault> {
        let Self { element, elements, len, .. } = *self;
        if found == len as u64 {
            return Ok(());
        }
        Err(TensorFault::Length { expected: len as u64, found, elements: elements as u64, element })
    }
}

/// Product of dimensions. An overflow is one even when another dimension is zero.
pub(crate) fn product(dims: &[usize]) -> Option<usize> {
    let nonzero = dims.iter().filter(|dim| **dim != 0).try_fold(1usize, |product, dim| product.checked_mul(*dim))?;
    Some(if dims.contains(&0) { 0 } else { nonzero })
}

fn check_rank(dims: &[i64], limit: usize) -> Result<(), TensorFault> {
    if dims.len() > limit { Err(TensorFault::Rank { rank: dims.len(), limit }) } else { Ok(()) }
}

/// Checks the shape of a tensor that has no contents: -1 is an unknown dimension, -2 alone an unknown rank.
pub(super) fn check_description(tensor: &TensorProto, max_rank: usize) -> Result<(), TensorFault> {
    check_rank(&tensor.dims, max_rank)?;
    let lowest = if tensor.dims.len() == 1 { -2 } else { -1 };
    match tensor.dims.iter().position(|dim| *dim < lowest) {
        None => Ok(()),
        Some(axis) => Err(TensorFault::Dimension { axis, value: tensor.dims.get(axis).copied().unwrap_or(0) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(code: i32, dims: &[i64], bytes: &'static [u8]) -> TensorProto {
        TensorProto {
            data_type: Some(code),
            dims: dims.to_vec(),
            raw_data: Some(Bytes::from_static(bytes)),
            ..Default::default()
        }
    }

    #[test]
    fn valid_tensors_are_taken() {
        let data = TensorData::of(&tensor(1, &[1, 2], &[0; 8]), 32).unwrap();
        assert_eq!(
            (data.element, data.dims.as_slice(), data.bytes.len()),
            (ElementType::Of(DType::F32), &[1, 2][..], 8)
        );
        assert!(TensorData::of(&tensor(9, &[2], &[0, 1]), 32).is_ok());
        assert!(TensorData::of(&tensor(7, &[], &[0; 8]), 32).is_ok());
        assert!(TensorData::of(&tensor(7, &[3, 0], &[]), 32).is_ok());
        assert!(TensorData::of(&TensorProto { raw_data: None, ..tensor(7, &[0], &[]) }, 32).is_ok());
    }

    #[test]
    fn invalid_tensors_are_refused() {
        use TensorFault::*;
        let cases: Vec<(TensorProto, TensorFault)> = vec![
            (tensor(1, &[-1], &[]), Dimension { axis: 0, value: -1 }),
            (tensor(1, &[2, -3], &[]), Dimension { axis: 1, value: -3 }),
            (tensor(1, &[i64::MAX, i64::MAX], &[]), Overflow),
            (tensor(1, &[i64::MAX, 4, 0], &[]), Overflow),
            (tensor(7, &[1 << 61], &[]), Overflow),
            (tensor(1, &[1; 33], &[0; 4]), Rank { rank: 33, limit: 32 }),
            (tensor(0, &[], &[]), ElementType(0)),
            (tensor(99, &[], &[]), ElementType(99)),
            (tensor(-7, &[], &[]), ElementType(-7)),
            (tensor(8, &[], &[]), NoTensors("string")),
            (
                tensor(1, &[2], &[0; 7]),
                Length { expected: 8, found: 7, elements: 2, element: crate::ElementType::Of(DType::F32) },
            ),
            (
                tensor(1, &[2], &[0; 9]),
                Length { expected: 8, found: 9, elements: 2, element: crate::ElementType::Of(DType::F32) },
            ),
            (tensor(9, &[3], &[1, 0, 2]), Truth { index: 2, value: 2 }),
            (TensorProto { raw_data: None, ..tensor(1, &[2], &[]) }, NoData),
            (TensorProto { compression_type: Some(3), ..tensor(1, &[2], &[0; 8]) }, Compression(3)),
        ];
        for (tensor, expected) in cases {
            assert_eq!(TensorData::of(&tensor, 32), Err(expected), "{tensor:?}");
        }
    }

    #[test]
    fn descriptions_may_have_unknown_dimensions() {
        assert!(check_description(&tensor(1, &[-1, 3], &[]), 32).is_ok());
        assert!(check_description(&tensor(1, &[-2], &[]), 32).is_ok());
        assert!(check_description(&tensor(1, &[-2, 1], &[]), 32).is_err());
        assert!(check_description(&tensor(1, &[-3], &[]), 32).is_err());
        assert!(check_description(&tensor(1, &[1; 40], &[]), 32).is_err());
    }
}
