//! Maxima and means over windows.

pub(super) mod adaptive;
pub(super) mod fractional;
pub(super) mod max_pool_grad;
pub(super) mod mean_grad;
pub(super) mod places;
pub(super) mod statistic;
pub(super) mod windowed;
