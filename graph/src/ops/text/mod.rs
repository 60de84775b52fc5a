//! Sequences of symbols, and formats of data.

pub(super) mod bits;
pub(super) mod formats;
pub(super) mod sequences;
