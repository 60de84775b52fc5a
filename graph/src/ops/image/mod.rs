//! Images and boxes: resizing, sampling, suppression.

pub(super) mod boxes;
pub(super) mod colors;
pub(super) mod detection;
pub(super) mod glimpse;
pub(super) mod grid_sampler2d;
pub(super) mod grid_sampler2d_grad;
mod picked;
pub(super) mod resample;
pub(super) mod resize;
pub(super) mod resize_grad;
