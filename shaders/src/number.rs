//! Arithmetic on elements, for texts that hold for every type.

use mindir_graph::DType;
use mindir_graph::task::{Binary, Scalar};

use crate::program::{binary, cast, constant};
use crate::{Unsupported, Word, word};

/// What elements of `dtype` are summed and multiplied in: integers as wide as their word, truth values as 0 and 1.
///
/// # Errors
/// [`Unsupported`] for types without a word.
pub(crate) fn number(dtype: DType) -> Result<DType, Unsupported> {
    Ok(match Word::of(dtype)? {
        Word::F32 => DType::F32,
        Word::I32 => DType::I32,
        Word::U32 | Word::Bool => DType::U32,
        Word::I64 => DType::I64,
        Word::U64 => DType::U64,
    })
}

/// The types `Stored` and `Number` of elements of `dtype`, the functions `load` and `store` between them, and `zero`, `one`,
/// `plus` and `times`, as WGSL. Numbers are of type `number`.
///
/// # Errors
/// [`Unsupported`] for types without a word.
pub(crate) fn arithmetic(dtype: DType, number: DType) -> Result<String, Unsupported> {
    let (stored, wide) = (word::stored(dtype)?, Word::of(number)?);
    let load = cast(&word::load(dtype, "x"), dtype, number)?;
    let store = word::store(dtype, &cast("x", number, dtype)?);
    let [zero, one] = [0, 1].map(|n| constant(Scalar::Int(n), wide));
    let plus = binary(Binary::Add, "a", "b", number)?;
    let times = binary(Binary::Mul, "a", "b", number)?;
    Ok(format!(
        "alias Stored = {stored};\n\
         alias Number = {};\n\n\
         fn load(x: Stored) -> Number {{\n    return {load};\n}}\n\n\
         fn store(x: Number) -> Stored {{\n    return {store};\n}}\n\n\
         fn zero() -> Number {{\n    return {zero};\n}}\n\n\
         fn one() -> Number {{\n    return {one};\n}}\n\n\
         fn plus(a: Number, b: Number) -> Number {{\n    return {plus};\n}}\n\n\
         fn times(a: Number, b: Number) -> Number {{\n    return {times};\n}}\n\n",
        wide.stored(),
    ))
}

/// What sums of elements of `dtype` are kept in that must not wrap before they are divided.
///
/// # Errors
/// [`Unsupported`] for types without a word.
pub(crate) fn sums(dtype: DType) -> Result<DType, Unsupported> {
    Ok(match Word::of(dtype)? {
        Word::F32 => DType::F32,
        Word::I32 | Word::I64 => DType::I64,
        Word::U32 | Word::U64 | Word::Bool => DType::U64,
    })
}
