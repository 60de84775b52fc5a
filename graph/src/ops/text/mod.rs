//! Sequences of symbols.

pub(super) mod decoding;
