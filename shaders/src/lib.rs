//! Shader sources as text, one folder per task family, and what a launcher must know of each: bindings and parameters.
//!
//! A [`Shader`] is one variant of a family; [`Shader::module`] writes its text in WGSL or CUDA C++. All of it is plain text and
//! arithmetic: nothing here talks to a driver, no shader needs an optional feature of WGSL, unless
//! [`Language::WgslF16`] is asked for, and none a header of CUDA.
//!
//! Elements lie in 32-bit words in WGSL: `f32`, `i32` and `u32` as they are, narrower integers widened with their sign, floats of 16
//! bits as `f32` (see [`Language`] for `f16`), `bool` as 0 and 1; integers of 64 bits are two words (see [`Word`]). Every shader takes its parameters as a
//! uniform buffer at binding 0, then storage buffers from binding 1 on: its operands and results, and what each variant says
//! besides.

#![forbid(unsafe_code)]

pub mod attention;
pub mod conv;
pub mod copy;
pub mod cuda;
pub mod epilogue;
pub mod gather;
pub mod gemm;
mod index;
pub mod map;
mod module;
pub mod norm;
mod number;
pub mod pool;
pub mod program;
pub mod recurrent;
pub mod reduce;
pub mod resize;
pub mod scan;
pub mod scatter;
pub mod softmax;
pub mod sort;
pub mod spread;
mod tile;
mod word;

pub use module::{Access, Language, Lines, Module, Shader};
pub use word::{Unsupported, Word};
