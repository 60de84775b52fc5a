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
            const EXPECTED: &'static str = concat!("a number of type ", stringify!($t));
            fn of_unsigned(v: u64) -> Option<Self> {
                Some(v as $t)
            }
            fn of_signed(v: i64) -> Option<Self> {
                Some(v as $t)
            }
            fn of_float(v: f64) -> Option<Self> {
                Some(v as $t).filter(|v| v.is_finite())
            }
        }
    )*};
}

floats!(f32 f64);

/// Appends the elements of lists in lists, row by row. Lists nest as the dimensions do, or there is one list of all elements.
struct Flat<'a, T> {
    into: &'a mut Vec<T>,
    /// Dimensions of what is read; at first those of the tensor.
    dims: &'a [usize],
    is_first: bool,
    read: Read<T>,
}

/// How an element is read.
struct Read<T> {
    expected: &'static str,
    unsigned: fn(u64) -> Option<T>,
    signed: fn(i64) -> Option<T>,
    float: fn(f64) -> Option<T>,
    truth: fn(bool) -> Option<T>,
}

impl<T> Clone for Read<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Read<T> {}

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Element,
    List,
}

impl<T> Flat<'_, T> {
    fn push<E: Error>(self, value: Option<T>) -> Result<Found, E> {
        self.into.push(value.ok_or_else(|| E::custom(format!("expected {}", self.read.expected)))?);
        Ok(Found::Element)
    }
}

impl<'de, T> DeserializeSeed<'de> for Flat<'_, T> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T> Visitor<'de> for Flat<'_, T> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or a list of such", self.read.expected)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        let Flat { into, dims, is_first, read } = self;
        let all = dims.iter().fold(1usize, |n, d| n.saturating_mul(*d));
        let (len, rest) = dims.split_first().map_or((1, dims), |(len, rest)| (*len, rest));
        let (mut count, mut kind) = (0usize, None);
        while let Some(found) = seq.next_element_seed(Flat { into: &mut *into, dims: rest, is_first: false, read })? {
            count += 1;
            if *kind.get_or_insert(found) != found {
                return Err(A::Error::custom("expected elements or lists, found both in one list"));
            }
            if count > all {
                return Err(A::Error::custom(format!("expected {all} elements, found more")));
            }
        }
        let is_flat = is_first && kind != Some(Found::List);
        let is_level = rest.is_empty() == (kind != Some(Found::List)) || count == 0;
        if is_flat && count == all || is_level && count == len {
            return Ok(Found::List);
        }
        let expected = if is_flat { all } else { len };
        Err(A::Error::custom(format!("expected a list of {expected} for dimensions {dims:?}, found one of {count}")))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Found, E> {
        let value = (self.read.unsigned)(v);
        self.push(value)
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Found, E> {
        let value = (self.read.signed)(v);
        self.push(value)
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Found, E> {
        let value = (self.read.float)(v);
        self.push(value)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Found, E> {
        let value = (self.read.truth)(v);
        self.push(value)
    }
}

fn elements<T>(dims: &[usize], count: usize, data: &RawValue, read: Read<T>) -> Result<Vec<T>, String> {
    let mut into = Vec::new();
    let mut from = serde_json::Deserializer::from_str(data.get());
    let flat = Flat { into: &mut into, dims, is_first: true, read };
    flat.deserialize(&mut from).map_err(|e| e.to_string())?;
    if into.len() != count {
        return Err(format!("expected {count} elements, found {}", into.len()));
    }
    Ok(into)
}

fn numbers<T: Number>(dims: &[usize], count: usize, data: &RawValue) -> Result<Tensor, String> {
    let (unsigned, signed, float) = (T::of_unsigned, T::of_signed, T::of_float);
    let read = Read { expected: T::EXPECTED, unsigned, signed, float, truth: |_| None };
    Tensor::from_vec::<T>(dims, elements(dims, count, data, read)?).map_err(|e| e.to_string())
}

fn truths(dims: &[usize], count: usize, data: &RawValue) -> Result<Tensor, String> {
    let read = Read {
        expected: "true, false, 1 or 0",
        unsigned: |v| (v < 2).then_some(v == 1),
        signed: |_| None,
        float: |_| None,
        truth: Some,
    };
    Tensor::from_bools(dims, &elements(dims, count, data, read)?).map_err(|e| e.to_string())
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

/// The elements of a tensor, as a flat list or in lists as its dimensions nest.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    tensor: &'a Tensor,
    /// Dimensions of the lists; none is a flat list.
    dims: Option<&'a [usize]>,
}

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
            _ => Ok(Elements { tensor, dims: None }),
        }
    }

    /// The same in lists of these dimensions, which have as many elements.
    pub fn nested(self, dims: &'a [usize]) -> Elements<'a> {
        Elements { dims: Some(dims), ..self }
    }
}

/// A part of the elements, in lists of some dimensions.
struct Nested<'a, T> {
    elements: &'a [T],
    dims: &'a [usize],
}

impl<T: Serialize> Serialize for Nested<'_, T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.dims {
            [] => self.elements.first().serialize(s),
            [_] => s.collect_seq(self.elements),
            [len, dims @ ..] => {
                let size = self.elements.len() / len.max(&1);
                s.collect_seq((0..*len).map(|i| Nested { elements: &self.elements[i * size..(i + 1) * size], dims }))
            }
        }
    }
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let flat = [self.tensor.bytes().len()];
        let dims = self.dims.unwrap_or(&flat);
        fn list<T: Element + Serialize, S: Serializer>(t: &Tensor, dims: &[usize], s: S) -> Result<S::Ok, S::Error> {
            let elements = t.view::<T>().map_err(serde::ser::Error::custom)?;
            Nested { elements, dims }.serialize(s)
        }
        let t = self.tensor;
        match t.dtype() {
            DType::Bool => {
                let truths: Vec<bool> = t.bytes().iter().map(|byte| *byte != 0).collect();
                Nested { elements: &truths, dims }.serialize(s)
            }
            DType::U8 => list::<u8, S>(t, dims, s),
            DType::U16 => list::<u16, S>(t, dims, s),
            DType::U32 => list::<u32, S>(t, dims, s),
            DType::U64 => list::<u64, S>(t, dims, s),
            DType::I8 => list::<i8, S>(t, dims, s),
            DType::I16 => list::<i16, S>(t, dims, s),
            DType::I32 => list::<i32, S>(t, dims, s),
            DType::I64 => list::<i64, S>(t, dims, s),
            DType::F32 => list::<f32, S>(t, dims, s),
            DType::F64 => list::<f64, S>(t, dims, s),
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
        for text in ["[1, 2, 3, 4]", "[[1, 2], [3, 4]]"] {
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
            (DType::F32, &[4], "[1, 2, 3]", "one of 3"),
            (DType::F32, &[2, 3], "[[1, 2, 3], [4, 5]]", "one of 2"),
            (DType::F32, &[2, 2], "[[1, 2, 3], [4]]", "found more"),
            (DType::F32, &[2, 2], "[[1, 2], 3, 4]", "both"),
            (DType::F32, &[2, 2], "[[[1], [2]], [[3], [4]]]", "one of"),
            (DType::F32, &[2], "1", "found 1"),
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
        let nested = serde_json::to_string(&Elements::of("y", &t).unwrap().nested(&[2, 1, 2])).unwrap();
        assert_eq!(nested, "[[[0.1,-0.0]],[[3.4028235e+38,1e-45]]]");
        let nan = Tensor::vector(&[f32::NAN]);
        assert!(Elements::of("y", &nan).unwrap_err().to_string().contains("binary_data"));
    }
}
