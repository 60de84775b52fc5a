use mindir_graph::DType;

/// Why there is no shader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub String);

/// How elements are stored and computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// `f32`.
    F32,
    /// `i8`, `i16` and `i32`, stored as `i32`.
    I32,
    /// `u8`, `u16` and `u32`, stored as `u32`.
    U32,
    /// `bool`, stored as `u32` 0 or 1.
    Bool,
}

impl Word {
    /// The word that holds elements of `dtype`.
    ///
    /// # Errors
    /// [`Unsupported`] for types without a word of 32 bits.
    pub fn of(dtype: DType) -> Result<Word, Unsupported> {
        match dtype {
            DType::F32 => Ok(Word::F32),
            DType::I8 | DType::I16 | DType::I32 => Ok(Word::I32),
            DType::U8 | DType::U16 | DType::U32 => Ok(Word::U32),
            DType::Bool => Ok(Word::Bool),
            DType::F64 | DType::I64 | DType::U64 => Err(Unsupported(format!("{dtype} is not supported by WGSL"))),
            DType::F16 | DType::BF16 | DType::C64 | DType::C128 => {
                Err(Unsupported(format!("there is no {dtype} kernels yet")))
            }
        }
    }

    /// Type of a stored element.
    pub fn stored(self) -> &'static str {
        match self {
            Word::F32 => "f32",
            Word::I32 => "i32",
            Word::U32 | Word::Bool => "u32",
        }
    }

    /// Type of a register.
    pub fn computed(self) -> &'static str {
        if self == Word::Bool { "bool" } else { self.stored() }
    }

    /// The register value of the stored element `x`.
    pub fn load(self, x: &str) -> String {
        if self == Word::Bool { format!("({x} != 0u)") } else { x.to_string() }
    }

    /// The stored element of the register value `x`.
    pub fn store(self, x: &str) -> String {
        if self == Word::Bool { format!("u32({x})") } else { x.to_string() }
    }
}

/// `x` of type `dtype` after arithmetic in its word: narrow integers wrap.
pub(crate) fn wrap(dtype: DType, x: &str) -> String {
    match dtype {
        DType::I8 => format!("extractBits({x}, 0u, 8u)"),
        DType::I16 => format!("extractBits({x}, 0u, 16u)"),
        DType::U8 => format!("(({x}) & 0xffu)"),
        DType::U16 => format!("(({x}) & 0xffffu)"),
        _ => x.to_string(),
    }
}
