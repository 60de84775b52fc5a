//! Numbers as integers of few bits, and back.

pub(super) mod fake;
pub(super) mod levels;
pub(super) mod product;
