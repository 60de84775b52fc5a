//! Parameters that a model reads and writes, and other effects.

pub(super) mod assign;
pub(super) mod cache;
pub(super) mod load;
pub(super) mod print;
pub(super) mod raise;
