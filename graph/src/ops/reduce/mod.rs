//! Along dimensions: reductions, running sums, extremes, orders, softmax.

pub(super) mod arg_extreme;
pub(super) mod cumulate;
pub(super) mod log_softmax;
pub(super) mod median;
pub(super) mod order;
pub(super) mod reduction;
pub(super) mod softmax;
