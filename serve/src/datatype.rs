//! The protocol's names of element types.

use mindir::{DType, Port};

use crate::RequestError;

/// Names and types, in the order of the protocol's list. Complex numbers have none.
const NAMES: [(&str, DType); 13] = [
    ("BOOL", DType::Bool),
    ("UINT8", DType::U8),
    ("UINT16", DType::U16),
    ("UINT32", DType::U32),
    ("UINT64", DType::U64),
    ("INT8", DType::I8),
    ("INT16", DType::I16),
    ("INT32", DType::I32),
    ("INT64", DType::I64),
    ("FP16", DType::F16),
    ("FP32", DType::F32),
    ("FP64", DType::F64),
    ("BF16", DType::BF16),
];

/// The protocol's name of a type; `None` if it has none.
pub(crate) fn name(dtype: DType) -> Option<&'static str> {
    NAMES.iter().find(|(_, of)| *of == dtype).map(|(name, _)| *name)
}

/// The type of a name. `BYTES` is none: the models compute with numbers.
pub(crate) fn of(name: &str) -> Option<DType> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype)
}

/// Most dimensions of a tensor.
const RANKS: usize = 32;

/// The type of an input called `name`.
pub(crate) fn wanted(name: &str, datatype: &str, rank: usize) -> Result<DType, RequestError> {
    let wrong = |text: String| RequestError::Invalid(format!("inputs: {name}: {text}"));
    if datatype == "BYTES" {
        return Err(wrong("BYTES are no numbers; models compute with numbers".into()));
    }
    if rank > RANKS {
        return Err(wrong(format!("expected at most {RANKS} dimensions, found {rank}")));
    }
    of(datatype).ok_or_else(|| wrong(format!("{datatype:?} is no datatype of the protocol")))
}

/// Dimensions as the protocol has them: −1 is open.
pub(crate) fn dims(port: &Port) -> Vec<i64> {
    let length = |size: Option<usize>| size.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
    port.spec.dims.iter().flatten().map(|d| length(d.size())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for dtype in DType::ALL {
            assert_eq!(name(dtype).and_then(of), (!dtype.is_complex()).then_some(dtype));
        }
        assert_eq!(of("BYTES"), None);
    }
}
