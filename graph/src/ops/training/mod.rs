//! What exported training steps compute: losses and gradients.

pub(super) mod ctc;
pub(super) mod distance;
pub(super) mod distance_grad;
pub(super) mod dropout;
pub(super) mod extreme_grad;
pub(super) mod gradient;
pub(super) mod label_loss;
pub(super) mod loss;
pub(super) mod norm_loss;
pub(super) mod row_grad;
