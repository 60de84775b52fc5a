//! Convolutions, and windows as columns of matrices.

pub(super) mod backprop_filter;
pub(super) mod classic;
pub(super) mod columns;
pub(super) mod conv2d;
pub(super) mod conv2d_transpose;
pub(super) mod conv3d;
pub(super) mod conv_ext;
pub(super) mod deformable;
pub(super) mod dilation2d;
pub(super) mod grouped;
pub(super) mod patches;
