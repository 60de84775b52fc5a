use mindir_graph::DType;

/// Why there is no shader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub String);

/// How elements are computed, and stored but for `f16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// `f32`; `f16` and `bf16` too, which are computed as such and rounded wherever their type says so.
    F32,
    /// `i8`, `i16` and `i32`, stored as `i32`.
    I32,
    /// `u8`, `u16` and `u32`, stored as `u32`.
    U32,
    /// `bool`, stored as `u32` 0 or 1.
    Bool,
    /// `i64` as two `u32`, the lower one first.
    I64,
    /// `u64` as two `u32`, the lower one first.
    U64,
}

impl Word {
    /// The word that holds elements of `dtype`.
    ///
    /// # Errors
    /// [`Unsupported`] for `f64` and complex numbers.
    pub fn of(dtype: DType) -> Result<Word, Unsupported> {
        match dtype {
            DType::F16 | DType::BF16 | DType::F32 => Ok(Word::F32),
            DType::I8 | DType::I16 | DType::I32 => Ok(Word::I32),
            DType::U8 | DType::U16 | DType::U32 => Ok(Word::U32),
            DType::Bool => Ok(Word::Bool),
            DType::I64 => Ok(Word::I64),
            DType::U64 => Ok(Word::U64),
            DType::F64 => Err(Unsupported("f64 is not supported by WGSL".into())),
            DType::C64 | DType::C128 => Err(Unsupported("complex numbers are not supported by WGSL".into())),
        }
    }

    /// Bytes of a register.
    pub fn size(self) -> usize {
        if self.is_wide() { 8 } else { 4 }
    }

    /// Whether an element is two `u32`.
    pub fn is_wide(self) -> bool {
        matches!(self, Word::I64 | Word::U64)
    }

    /// Type of an element that lies in one word, or two.
    pub fn stored(self) -> &'static str {
        match self {
            Word::F32 => "f32",
            Word::I32 => "i32",
            Word::U32 | Word::Bool => "u32",
            Word::I64 | Word::U64 => "vec2<u32>",
        }
    }

    /// Type of a register.
    pub fn computed(self) -> &'static str {
        if self == Word::Bool { "bool" } else { self.stored() }
    }

    /// Ends the names of the functions of two integers: `divide_i32`.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Word::F32 => "f32",
            Word::I32 => "i32",
            Word::U32 | Word::Bool => "u32",
            Word::I64 => "i64",
            Word::U64 => "u64",
        }
    }
}

/// Type of the elements of `dtype` in a buffer. `Half` is `f16`, or `f32` where there is no `f16` (see [`crate::Language`]).
pub(crate) fn stored(dtype: DType) -> Result<&'static str, Unsupported> {
    if dtype == DType::F16 { Ok("Half") } else { Ok(Word::of(dtype)?.stored()) }
}

/// Declares the type `Element` of the elements of `dtype` in a buffer.
pub(crate) fn element(dtype: DType) -> Result<String, Unsupported> {
    Ok(format!("alias Element = {};\n\n", stored(dtype)?))
}

/// Element `at` of the array `name` of words that hold two floats of `dtype` each, a type of 16 bits.
pub(crate) fn packed(dtype: DType, name: &str, at: &str) -> String {
    format!("packed_{dtype}({name}[{at} >> 1u], {at})")
}

/// The register value of the stored element `x` of `dtype`.
pub(crate) fn load(dtype: DType, x: &str) -> String {
    match dtype {
        DType::Bool => format!("({x} != 0u)"),
        DType::F16 => format!("f32({x})"),
        _ => x.to_string(),
    }
}

/// The stored element of the register value `x` of `dtype`.
pub(crate) fn store(dtype: DType, x: &str) -> String {
    match dtype {
        DType::Bool => format!("u32({x})"),
        DType::F16 => format!("Half({x})"),
        _ => x.to_string(),
    }
}

/// `x` of type `dtype` after arithmetic in its word: narrow integers wrap, floats of 16 bits are rounded.
pub(crate) fn fit(dtype: DType, x: &str) -> String {
    match dtype {
        DType::I8 => format!("extractBits({x}, 0u, 8u)"),
        DType::I16 => format!("extractBits({x}, 0u, 16u)"),
        DType::U8 => format!("(({x}) & 0xffu)"),
        DType::U16 => format!("(({x}) & 0xffffu)"),
        DType::F16 => format!("round_f16({x})"),
        DType::BF16 => format!("round_bf16({x})"),
        _ => x.to_string(),
    }
}
