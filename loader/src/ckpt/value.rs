//! What a checkpoint holds, whatever file it came from.

use bytes::{Bytes, BytesMut};
use indexmap::IndexMap;
use indexmap::map::Entry;
use mindir_graph::graph::Param;
use mindir_graph::{Buffer, DType, Element, Tensor, bf16, f16};
use smallvec::{SmallVec, smallvec};

use super::EntryFault;
use crate::element::{ElementType, is_aligned};
use crate::error::TensorFault;
use crate::map::release;
use crate::mindir::tensor::product;

/// Named values in order: what a `.ckpt` file, and each of the other formats, holds.
///
/// ```
/// use mindir_graph::Tensor;
/// use mindir_loader::ckpt::Checkpoint;
///
/// let mut checkpoint = Checkpoint::new();
/// checkpoint.insert("fc.weight", Tensor::vector(&[1.0f32, 2.0]));
/// checkpoint.insert("epoch_num", 3i64);
/// checkpoint.insert("note", "best so far");
/// assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["fc.weight", "epoch_num", "note"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    entries: IndexMap<String, Value>,
}

/// One value of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A tensor.
    Array(Array),
    /// A text.
    Text(String),
}

/// What happens to two values with one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSame {
    /// It is an error.
    #[default]
    Refuse,
    /// The first one stays.
    First,
    /// The last one stays.
    Last,
}

impl Checkpoint {
    /// Without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)
    }

    /// The value called `name`, with its name as the checkpoint holds it.
    pub(super) fn entry(&self, name: &str) -> Option<(&str, &Value)> {
        self.entries.get_key_value(name).map(|(name, value)| (name.as_str(), value))
    }

    /// Sets a value: in place of the one with this name, else at the end. The old value is returned.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        self.entries.insert(name.into(), value.into())
    }

    /// Adds a value at the end, unless there is one with this name.
    pub(super) fn add(&mut self, name: String, value: Value) -> Result<(), String> {
        match self.entries.entry(name) {
            Entry::Occupied(entry) => Err(entry.key().clone()),
            Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
        }
    }

    /// The entry that was added last.
    pub(super) fn last_mut(&mut self) -> Option<(&str, &mut Value)> {
        self.entries.last_mut().map(|(name, value)| (name.as_str(), value))
    }

    /// Takes a value out; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.entries.shift_remove(name)
    }

    /// Keeps the entries that `keep` says, like `choice_func` of MindSpore's `save_checkpoint`.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        self.entries.retain(|name, value| keep(name, value));
    }

    /// The same values with other names.
    ///
    /// # Errors
    /// A name that two values would have.
    pub fn rename(self, mut name: impl FnMut(&str) -> String) -> Result<Self, String> {
        let mut renamed = Self { entries: IndexMap::with_capacity(self.len()) };
        self.entries.into_iter().try_for_each(|(old, value)| renamed.add(name(&old), value))?;
        Ok(renamed)
    }

    /// Adds the entries of another checkpoint. Of two values with one name the one that `same` says stays.
    ///
    /// # Errors
    /// Names that both have, with [`OnSame::Refuse`]; nothing is added then.
    pub fn merge(&mut self, other: Self, same: OnSame) -> Result<(), Vec<String>> {
        let shared = || other.names().filter(|name| self.get(name).is_some());
        if same == OnSame::Refuse && shared().next().is_some() {
            return Err(shared().map(str::to_string).collect());
        }
        for (name, value) in other {
            if same == OnSame::Last || self.get(&name).is_none() {
                self.insert(name, value);
            }
        }
        Ok(())
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.entries.values().map(Value::size).sum()
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Checkpoint {
    /// Of several values with one name the last one is kept.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl<'a> FromIterator<&'a Param> for Checkpoint {
    /// What the parameters of a model hold before its first run.
    fn from_iter<I: IntoIterator<Item = &'a Param>>(params: I) -> Self {
        params.into_iter().map(|param| (param.name.to_string(), param.tensor.clone())).collect()
    }
}

impl<N: Into<String>, V: Into<Value>> Extend<(N, V)> for Checkpoint {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, entries: I) {
        self.entries.extend(entries.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
}

impl IntoIterator for Checkpoint {
    type Item = (String, Value);
    type IntoIter = indexmap::map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl Value {
    /// The tensor, if it is one.
    pub fn array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            Self::Text(_) => None,
        }
    }

    /// Bytes of the tensor; none for a text.
    pub fn size(&self) -> u64 {
        self.array().map_or(0, |array| array.len() as u64)
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Array(Array {
            element: tensor.dtype().into(),
            dims: tensor.shape().into(),
            parts: smallvec![tensor.bytes().clone()],
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

macro_rules! scalars {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Tensor::scalar(number).into()
            }
        }
    )*};
}
scalars!(i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64);

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        let bytes = Bytes::from_static(if truth { &[1] } else { &[0] });
        Self::Array(Array { element: ElementType::Of(DType::Bool), dims: SmallVec::new(), parts: smallvec![bytes] })
    }
}

/// A tensor that is used where it lies, usually in a mapped file: nothing was copied, aligned or looked at yet.
///
/// There are exactly as many bytes as dimensions and element type need, possibly in several parts.
#[derive(Clone, Debug)]
pub struct Array {
    element: ElementType,
    dims: SmallVec<[usize; 4]>,
    parts: SmallVec<[Bytes; 1]>,
}

impl Array {
    /// A tensor of `bytes`, little endian and row-major.
    ///
    /// # Errors
    /// [`TensorFault::Overflow`], [`TensorFault::Length`].
    pub fn new(element: ElementType, dims: &[usize], bytes: Bytes) -> Result<Self, TensorFault> {
        let array = Self::part(element, dims.into(), bytes);
        array.check()?;
        Ok(array)
    }

    /// A tensor of which more parts may follow.
    pub(super) fn part(element: ElementType, dims: SmallVec<[usize; 4]>, bytes: Bytes) -> Self {
        Self { element, dims, parts: smallvec![bytes] }
    }

    /// Adds the next parts.
    pub(super) fn append(&mut self, part: Self) -> Result<(), EntryFault> {
        if part.element != self.element {
            return Err(EntryFault::Part("element type"));
        }
        if part.dims != self.dims {
            return Err(EntryFault::Part("shape"));
        }
        self.parts.extend(part.parts);
        Ok(())
    }

    /// Checks that the parts have the bytes that dimensions and element type need.
    pub(super) fn check(&self) -> Result<(), TensorFault> {
        let elements = product(&self.dims).ok_or(TensorFault::Overflow)?;
        let expected = elements.checked_mul(self.element.size()).ok_or(TensorFault::Overflow)? as u64;
        let found = self.parts.iter().map(|part| part.len() as u64).sum();
        if found == expected {
            return Ok(());
        }
        Err(TensorFault::Length { expected, found, elements: elements as u64, element: self.element })
    }

    /// Element type.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Dimensions, outermost first; none for a scalar.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.len() / self.element.size()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as little-endian bytes, row-major, in one or several parts.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The bytes in one piece; they are copied if they are in several parts.
    pub fn bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [one] => one.clone(),
            parts => {
                let mut all = BytesMut::with_capacity(self.len());
                parts.iter().for_each(|part| all.extend_from_slice(part));
                all.freeze()
            }
        }
    }

    /// The tensor. Its bytes are those of the file where they are in one part and aligned for the element type; otherwise
    /// they are copied, and the file's pages may leave the memory.
    ///
    /// # Errors
    /// [`TensorFault::NoDType`], [`TensorFault::Truth`], [`TensorFault::Memory`].
    pub fn tensor(&self) -> Result<Tensor, TensorFault> {
        let dtype = self.element.dtype().ok_or(TensorFault::NoDType(self.element))?;
        let bytes = match self.parts.as_slice() {
            [one] if is_aligned(one, self.element.align()) => one.clone(),
            parts => copy(parts, self.len()).ok_or(TensorFault::Memory(self.len() as u64))?,
        };
        if self.element == ElementType::Of(DType::Bool)
            && let Some((index, value)) = bytes.iter().enumerate().find(|(_, byte)| **byte > 1)
        {
            return Err(TensorFault::Truth { index: index as u64, value: *value });
        }
        Tensor::from_bytes(dtype, &self.dims, bytes).map_err(|_| TensorFault::Overflow)
    }

    /// How many numbers are infinite or not a number; 0 for types that have none of these. Pages of a mapped file leave the
    /// memory again.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn not_finite(&self) -> Result<usize, TensorFault> {
        let tensor = self.tensor()?;
        let count = match tensor.dtype() {
            DType::F16 => count(&tensor, |x: f16| x.is_finite()),
            DType::BF16 => count(&tensor, |x: bf16| x.is_finite()),
            DType::F32 => count(&tensor, f32::is_finite),
            DType::F64 => count(&tensor, f64::is_finite),
            _ => 0,
        };
        self.parts.iter().for_each(|part| release(part));
        Ok(count)
    }

    /// The same elements with other dimensions of the same product.
    pub(crate) fn reshaped(&self, dims: &[usize]) -> Self {
        Self { dims: dims.into(), ..self.clone() }
    }
}

impl PartialEq for Array {
    /// Whether element type, dimensions and all bytes are equal, however they are divided into parts.
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.parts, &other.parts);
        let same_cuts = || ours.iter().map(Bytes::len).eq(theirs.iter().map(Bytes::len));
        let same_bytes =
            || if same_cuts() { ours == theirs } else { ours.iter().flatten().eq(theirs.iter().flatten()) };
        (self.element, &self.dims, self.len()) == (other.element, &other.dims, other.len()) && same_bytes()
    }
}

/// Number of elements that are not as `is_right` says.
fn count<T: Element>(tensor: &Tensor, is_right: impl Fn(T) -> bool) -> usize {
    tensor.view::<T>().map_or(0, |elements| elements.iter().filter(|x| !is_right(**x)).count())
}

/// An aligned copy of the parts, which are released one after the other.
fn copy(parts: &[Bytes], len: usize) -> Option<Bytes> {
    let mut buffer = Buffer::new(len).ok()?;
    let mut rest = buffer.bytes_mut();
    for part in parts {
        let (here, after) = rest.split_at_mut_checked(part.len())?;
        here.copy_from_slice(part);
        release(part);
        rest = after;
    }
    Some(buffer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_says_what_happens_to_values_of_one_name() {
        let one = || [("a", 1i32), ("b", 2)].into_iter().collect::<Checkpoint>();
        let two = || [("c", 3i32), ("b", 4)].into_iter().collect::<Checkpoint>();
        let merged = |same| {
            let mut all = one();
            all.merge(two(), same).map(|()| all)
        };
        assert_eq!(merged(OnSame::Refuse), Err(vec!["b".to_string()]));
        assert_eq!(merged(OnSame::First), Ok([("a", 1i32), ("b", 2), ("c", 3)].into_iter().collect()));
        assert_eq!(merged(OnSame::Last), Ok([("a", 1i32), ("b", 4), ("c", 3)].into_iter().collect()));
    }

    #[test]
    fn numbers_that_are_not_finite_are_counted_in_every_type_that_has_them() {
        let odd = |tensor: Tensor| Value::from(tensor).array().unwrap().not_finite().unwrap();
        assert_eq!(odd(Tensor::vector(&[1.0, f32::NAN, f32::INFINITY])), 2);
        assert_eq!(odd(Tensor::vector(&[f64::NEG_INFINITY, 0.0])), 1);
        assert_eq!(odd(Tensor::vector(&[f16::NAN, f16::MAX])), 1);
        assert_eq!(odd(Tensor::vector(&[bf16::INFINITY, bf16::MAX])), 1);
        assert_eq!(odd(Tensor::vector(&[i32::MAX])), 0);
        let truth = Array::new(ElementType::Of(DType::Bool), &[1], Bytes::from_static(&[2])).unwrap();
        assert_eq!(truth.not_finite(), Err(TensorFault::Truth { index: 0, value: 2 }));
    }

    #[test]
    fn arrays_are_equal_however_they_are_cut() {
        let whole = Array::new(ElementType::Of(DType::U8), &[4], Bytes::from_static(&[1, 2, 3, 4])).unwrap();
        let cut = |at: usize, bytes: &'static [u8]| {
            let mut array = Array::part(ElementType::Of(DType::U8), smallvec![4], Bytes::from_static(&bytes[..at]));
            array
                .append(Array::part(ElementType::Of(DType::U8), smallvec![4], Bytes::from_static(&bytes[at..])))
                .unwrap();
            array
        };
        assert_eq!(cut(1, &[1, 2, 3, 4]), whole);
        assert_eq!(cut(1, &[1, 2, 3, 4]), cut(3, &[1, 2, 3, 4]));
        assert_ne!(cut(1, &[1, 2, 3, 5]), whole);
        assert_eq!(cut(2, &[1, 2, 3, 4]).tensor().unwrap(), whole.tensor().unwrap());
        assert!(Array::new(ElementType::Of(DType::U16), &[4], Bytes::from_static(&[1, 2, 3, 4])).is_err());
    }
}
