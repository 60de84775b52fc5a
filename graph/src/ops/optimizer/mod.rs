//! Optimizers: each step returns the new contents of the parameters that it writes.

pub(super) mod adagrad;
pub(super) mod adam;
pub(super) mod ftrl;
pub(super) mod momentum;
pub(super) mod rms_prop;
pub(super) mod sign;
mod step;
