//! Complex numbers: made, taken apart, conjugated; functions of them.

pub(super) mod functions;
pub(super) mod made;
pub(super) mod parts;
