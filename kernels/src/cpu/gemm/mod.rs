//! Matrix products.

pub mod blocks;
pub mod dense;
mod dot;
pub mod panels;
pub mod tile;

use super::Candidate;

/// Kernels of the gemm family.
pub const CANDIDATES: &[Candidate] = &[dense::DOTS, dense::TILES, super::half::CANDIDATE];

#[cfg(test)]
mod tests;
