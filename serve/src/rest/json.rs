//! Numbers of JSON as tensors, and tensors as numbers of JSON.

use std::fmt;

use mindir::{DType, Element, Tensor};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{RequestError, datatype};

/// A number of an element type that JSON has a form for.
trait Number: Element {
    const EXPECTED: &'static str;
    fn of_unsigned(v: u64) -> Option<Self>;
    fn of_signed(v: i64) -> Option<Self>;
    fn of_float(v: f64) -> Option<Self>;
}

macro_rules! integers {
    ($($t:ty)*) => {$(
        impl Number for $t {
            const EXPECTED: &'static str = concat!("an integer of type ", stringify!($t));
            fn of_unsigned(v: u64) -> Option<Self> {
                v.try_into().ok()
            }
            fn of_signed(v: i64) -> Option<Self> {
                v.try_into().ok()
            }
            fn of_float(_: f64) -> Option<Self> {
                None
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! floats {
    ($($t:ty)*) => {$(
        impl Number for $t {
            const EXPECTED: &'static str = "a number";
            fn of_unsigned(v: u64) -> Option<Self> {
                Some(v as $t)
            }
            fn of_signed(v: i64) -> Option<Self> {
                Some(v as $t)
            }
            fn of_float(v: f64) -> Option<Self> {
                Some(v as $t)
            }
        }
    )*};
}

floats!(f32 f64);

/// Appends numbers of lists in lists, row by row.
struct Flat<'a, T> {
    into: &'a mut Vec<T>,
    most: usize,
}

impl<T> Flat<'_, T> {
    fn push<E: Error>(&mut self, value: Option<T>, expected: &str) -> Result<(), E> {
        if self.into.len() == self.most {
            return Err(E::custom(format!("expected {} numbers, found more", self.most)));
        }
        self.into.push(value.ok_or_else(|| E::custom(format!("expected {expected}")))?);
        Ok(())
    }
}

impl<'de, T: Number> DeserializeSeed<'de> for Flat<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Number> Visitor<'de> for Flat<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or a list of such", T::EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Flat { into: &mut *self.into, most: self.most })?.is_some() {}
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, v: u64) -> Result<(), E> {
        self.push(T::of_unsigned(v), T::EXPECTED)
    }

    fn visit_i64<E: Error>(mut self, v: i64) -> Result<(), E> {
        self.push(T::of_signed(v), T::EXPECTED)
    }

    fn visit_f64<E: Error>(mut self, v: f64) -> Result<(), E> {
        self.push(T::of_float(v), T::EXPECTED)
    }
}

/// As [`Flat`], of truth values.
struct Truths<'a>(Flat<'a, bool>);

impl<'de> DeserializeSeed<'de> for Truths<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Truths<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, 1, 0 or a list of such")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Truths(Flat { into: &mut *self.0.into, most: self.0.most }))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, v: bool) -> Result<(), E> {
        self.0.push(Some(v), "")
    }

    fn visit_u64<E: Error>(mut self, v: u64) -> Result<(), E> {
        self.0.push((v < 2).then_some(v == 1), "true, false, 1 or 0")
    }
}

fn numbers<T: Number>(dims: &[usize], count: usize, data: &RawValue) -> Result<Tensor, String> {
    let mut into = Vec::new();
    let mut from = serde_json::Deserializer::from_str(data.get());
    Flat { into: &mut into, most: count }.deserialize(&mut from).map_err(|e| e.to_string())?;
    if into.len() != count {
        return Err(format!("expected {count} numbers, found {}", into.len()));
    }
    Tensor::from_vec::<T>(dims, into).map_err(|e| e.to_string())
}

fn truths(dims: &[usize], count: usize, data: &RawValue) -> Result<Tensor, String> {
    let mut into = Vec::new();
    let mut from = serde_json::Deserializer::from_str(data.get());
    Truths(Flat { into: &mut into, most: count }).deserialize(&mut from).map_err(|e| e.to_string())?;
    if into.len() != count {
        return Err(format!("expected {count} truth values, found {}", into.len()));
    }
    Tensor::from_bools(dims, &into).map_err(|e| e.to_string())
}

/// A tensor of these dimensions from its `data`, which is a list, or lists in lists, in the order of rows.
pub(crate) fn tensor(dtype: DType, dims: &[usize], data: &RawValue) -> Result<Tensor, String> {
    let count = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or("the shape has too many elements")?;
    match dtype {
        DType::Bool => truths(dims, count, data),
        DType::U8 => numbers::<u8>(dims, count, data),
        DType::U16 => numbers::<u16>(dims, count, data),
        DType::U32 => numbers::<u32>(dims, count, data),
        DType::U64 => numbers::<u64>(dims, count, data),
        DType::I8 => numbers::<i8>(dims, count, data),
        DType::I16 => numbers::<i16>(dims, count, data),
        DType::I32 => numbers::<i32>(dims, count, data),
        DType::I64 => numbers::<i64>(dims, count, data),
        DType::F32 => numbers::<f32>(dims, count, data),
        DType::F64 => numbers::<f64>(dims, count, data),
        DType::F16 | DType::BF16 | DType::C64 | DType::C128 => {
            Err(format!("{} has no form in JSON: send it as binary data", name(dtype)))
        }
    }
}

fn name(dtype: DType) -> &'static str {
    datatype::name(dtype).unwrap_or(dtype.name())
}

/// The elements of a tensor as a flat list.
#[derive(Debug)]
pub(crate) struct Elements<'a>(&'a Tensor);

impl<'a> Elements<'a> {
    /// The elements of the result called `result`, if JSON has a form for all of them.
    pub fn of(result: &str, tensor: &'a Tensor) -> Result<Elements<'a>, RequestError> {
        let invalid = |what: &str| {
            let text = format!("outputs: {result}: {what}, for which JSON has no form: ask for it with binary_data");
            Err(RequestError::Invalid(text))
        };
        match tensor.dtype() {
            DType::F16 | DType::BF16 | DType::C64 | DType::C128 => invalid(&format!("it is {}", name(tensor.dtype()))),
            DType::F32 | DType::F64 if !tensor.is_finite() => invalid("it has NaN or infinite numbers"),
            _ => Ok(Elements(tensor)),
        }
    }
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        fn list<T: Element + Serialize, S: Serializer>(t: &Tensor, s: S) -> Result<S::Ok, S::Error> {
            let wrong = |e: mindir::TensorError| serde::ser::Error::custom(e);
            s.collect_seq(t.view::<T>().map_err(wrong)?)
        }
        let t = self.0;
        match t.dtype() {
            DType::Bool => s.collect_seq(t.bytes().iter().map(|byte| *byte != 0)),
            DType::U8 => list::<u8, S>(t, s),
            DType::U16 => list::<u16, S>(t, s),
            DType::U32 => list::<u32, S>(t, s),
            DType::U64 => list::<u64, S>(t, s),
            DType::I8 => list::<i8, S>(t, s),
            DType::I16 => list::<i16, S>(t, s),
            DType::I32 => list::<i32, S>(t, s),
            DType::I64 => list::<i64, S>(t, s),
            DType::F32 => list::<f32, S>(t, s),
            DType::F64 => list::<f64, S>(t, s),
            DType::F16 | DType::BF16 | DType::C64 | DType::C128 => Err(serde::ser::Error::custom("no form in JSON")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dtype: DType, dims: &[usize], text: &str) -> Result<Tensor, String> {
        tensor(dtype, dims, &RawValue::from_string(text.into()).unwrap())
    }

    #[test]
    fn lists_are_read_flat_or_nested() {
        for text in ["[1, 2, 3, 4]", "[[1, 2], [3, 4]]", "[[[1], [2]], 3, 4]"] {
            let t = read(DType::F32, &[2, 2], text).unwrap();
            assert_eq!(t.view::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        }
        assert_eq!(read(DType::I64, &[], "-9223372036854775808").unwrap().to_i64s().unwrap(), [i64::MIN]);
        let t = read(DType::U64, &[1], "[18446744073709551615]").unwrap();
        assert_eq!(t.view::<u64>().unwrap(), [u64::MAX]);
        let t = read(DType::Bool, &[3], "[true, 0, 1]").unwrap();
        assert_eq!(&t.bytes()[..], [1, 0, 1]);
        assert_eq!(read(DType::F32, &[0, 3], "[]").unwrap().shape(), [0, 3]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let deep = "[".repeat(100_000);
        for (dtype, dims, text, why) in [
            (DType::F32, &[2][..], "[1, 2, 3]", "found more"),
            (DType::F32, &[4], "[1, 2, 3]", "found 3"),
            (DType::I8, &[1], "[300]", "i8"),
            (DType::U8, &[1], "[-1]", "u8"),
            (DType::I32, &[1], "[1.5]", "i32"),
            (DType::F32, &[1], "[\"1\"]", "a number"),
            (DType::F32, &[1], "[null]", "a number"),
            (DType::Bool, &[1], "[2]", "true"),
            (DType::F16, &[1], "[1]", "binary"),
            (DType::F32, &[usize::MAX, 2], "[1]", "too many"),
        ] {
            let error = read(dtype, dims, text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        // Not even a value.
        assert!(RawValue::from_string(deep).is_err());
        let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(read(DType::F32, &[1], &nested).unwrap_err().contains("recursion"));
    }

    #[test]
    fn elements_are_written_as_they_are_read() {
        let t = Tensor::from_vec(&[2, 2], vec![0.1f32, -0.0, f32::MAX, 1e-45]).unwrap();
        let text = serde_json::to_string(&Elements::of("y", &t).unwrap()).unwrap();
        let again = read(DType::F32, &[2, 2], &text).unwrap();
        assert_eq!(again.bytes(), t.bytes(), "{text}");
        let nan = Tensor::vector(&[f32::NAN]);
        assert!(Elements::of("y", &nan).unwrap_err().to_string().contains("binary_data"));
    }
}
