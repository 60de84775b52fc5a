//! Matrix products.

pub mod blocks;
pub mod dense;
pub mod dot;
mod numbers;
pub mod panels;
pub mod tile;

use super::Request;
use super::kernel::CpuKernel;

/// The kernel of a product.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    dense::offer(request).or_else(|| numbers::offer(request))
}

#[cfg(test)]
mod tests;
