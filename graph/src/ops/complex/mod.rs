//! Complex numbers: made, taken apart, conjugated.

pub(super) mod made;
pub(super) mod parts;
