//! CUDA C++: types of elements and registers, and how a text is put together.
//!
//! Texts include no header. A kernel is called `kernel`; it takes its parameters by value, then a pointer for each binding.

mod finish;
mod program;

use mindir_graph::DType;

use crate::{Access, Module, Unsupported, spread};
pub(crate) use finish::Finish;
pub(crate) use program::{cast, constant, function};

/// What every text starts with.
const PRELUDE: &str = include_str!("prelude.cu");

/// Type of a stored element.
///
/// # Errors
/// [`Unsupported`] for complex numbers.
pub fn stored(dtype: DType) -> Result<&'static str, Unsupported> {
    Ok(match dtype {
        DType::Bool => "flag",
        DType::I8 => "i8",
        DType::I16 => "i16",
        DType::I32 => "i32",
        DType::I64 => "i64",
        DType::U8 => "u8",
        DType::U16 => "u16",
        DType::U32 => "u32",
        DType::U64 => "u64",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::F32 => "f32",
        DType::F64 => "f64",
        DType::C64 | DType::C128 => return Err(Unsupported(format!("there is no CUDA kernel of {dtype}"))),
    })
}

/// Type of a register.
///
/// # Errors
/// As [`stored`].
pub(crate) fn register(dtype: DType) -> Result<&'static str, Unsupported> {
    Ok(match dtype {
        DType::Bool => "bool",
        DType::F16 | DType::BF16 => "f32",
        _ => stored(dtype)?,
    })
}

/// What programs call.
pub(crate) const LIBRARY: &str = include_str!("../map/functions.cu");

/// Indices and what is said of those that are outside.
pub(crate) const INDEX: &str = include_str!("index.cu");

/// A pointer that a kernel takes: name, element type, and what it does with it.
pub(crate) type Binding = (String, &'static str, Access);

/// What threads of a block do together; needs the library.
pub(crate) const BLOCK: &str = include_str!("block.cu");

/// Element type that sums and products of `dtype` are computed in.
///
/// # Errors
/// As [`stored`].
pub(crate) fn number(dtype: DType) -> Result<DType, Unsupported> {
    stored(dtype)?;
    Ok(match dtype {
        DType::F16 | DType::BF16 | DType::F32 => DType::F32,
        DType::I8 | DType::I16 | DType::I32 => DType::I32,
        DType::Bool | DType::U8 | DType::U16 | DType::U32 => DType::U32,
        other => other,
    })
}

/// Declares the types `Element`, of `dtype`, `Number`, which it is computed in, and `Result`, of `out`.
pub(crate) fn types(dtype: DType, out: DType) -> Result<String, Unsupported> {
    let (element, number, result) = (stored(dtype)?, stored(number(dtype)?)?, stored(out)?);
    Ok(format!("typedef {element} Element;\ntypedef {number} Number;\ntypedef {result} Result;\n"))
}

/// A text of these parts, one after the other.
fn text(parts: &[&str]) -> String {
    PRELUDE.to_string() + &parts.join("\n")
}

/// A kernel of these parts, which has `body` and so many threads in a block and bytes of shared memory.
pub(crate) fn module(parts: &[&str], bindings: &[Binding], threads: u32, shared: u32, body: &str) -> Module {
    let source = format!("{}{}{body}}}\n", text(parts), head(bindings, threads));
    let bindings = bindings.iter().map(|b| b.2).collect();
    Module { source, bindings, constants: Vec::new(), invocations: threads, shared }
}

/// A kernel that calls `element(params, row, col, args…)` once for every element of a table of rows and columns. A block covers
/// `width` columns of several rows at a time, so that neighbours work on neighbouring columns.
pub(crate) fn spread(parts: &[&str], bindings: &[Binding], width: u32, before: &str, args: &str) -> Module {
    let height = spread::INVOCATIONS / width;
    let body = format!(
        "{before}    for (u32 row = blockIdx.y * {height} + threadIdx.x / {width}; row < params.rows; row += gridDim.y * {height}) {{\n        \
         for (u32 col = blockIdx.x * {width} + threadIdx.x % {width}; col < params.cols; col += gridDim.x * {width}) {{\n            \
         element(params, row, col, {args});\n        }}\n    }}\n"
    );
    module(parts, bindings, spread::INVOCATIONS, 0, &body)
}

/// The functions `number`, what an element is computed in, its inverse `element_of`, and `plus_product`.
///
/// # Errors
/// As [`stored`].
pub(crate) fn arithmetic(dtype: DType) -> Result<String, Unsupported> {
    let number = number(dtype)?;
    let sum = match number {
        DType::F32 => "fmaf(a, b, sum)",
        DType::F64 => "fma(a, b, sum)",
        _ => "fn::Add(sum, fn::Mul(a, b))",
    };
    Ok(format!(
        "inline Number number(Element x) {{ return {}; }}\n\
         inline Element element_of(Number x) {{ return store<Element>({}); }}\n\
         inline Number plus_product(Number sum, Number a, Number b) {{ return {sum}; }}\n",
        cast("load(x)", number)?,
        cast("x", dtype)?,
    ))
}

/// Element type that sums of `dtype` are computed in where they must not wrap.
///
/// # Errors
/// As [`stored`].
pub(crate) fn sums(dtype: DType) -> Result<DType, Unsupported> {
    Ok(match number(dtype)? {
        DType::I32 => DType::I64,
        DType::U32 => DType::U64,
        number => number,
    })
}

/// Head of the kernel: what it binds, by name and element type, and its threads.
fn head(bindings: &[Binding], threads: u32) -> String {
    // 256 threads of a multiprocessor leave all registers that a thread can have; left alone, the compiler may take fewer and
    // spill.
    let blocks = (256 / threads).max(1);
    let mut text =
        format!("extern \"C\" __global__ void __launch_bounds__({threads}, {blocks})\n    kernel(const Params params");
    for (name, element, access) in bindings {
        let constant = if *access == Access::Read { "const " } else { "" };
        text += &format!(",\n    {constant}{element}* __restrict__ {name}");
    }
    text + ") {\n"
}

/// Assertions that the parameters lie in a text as they lie in Rust.
macro_rules! layout {
    ($params:ty: $($field:ident),*) => {{
        let mut text = format!("static_assert(sizeof(Params) == {}, \"size\");\n", size_of::<$params>());
        $(
            let (name, offset) = (stringify!($field), std::mem::offset_of!($params, $field));
            text += &format!("static_assert(OFFSET(Params, {name}) == {offset}, \"{name}\");\n");
        )*
        text
    }};
}
pub(crate) use layout;
