//! Matrix products.

pub mod blocks;
pub mod dense;
pub mod dot;
pub mod panels;
pub mod tile;

pub use dense::offer;

#[cfg(test)]
mod tests;
