//! The CPU: kernels on host memory.

mod isa;
pub mod simd;

pub use isa::Isa;
