//! Matrix products.

pub mod blocks;
mod dense;
mod dot;
pub mod panels;
pub mod tile;

use super::Candidate;

/// Kernels of the gemm family.
pub const CANDIDATES: &[Candidate] = &[dense::DOTS, dense::TILES];

#[cfg(test)]
mod tests;
