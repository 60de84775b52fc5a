//! What exported training steps compute: losses, gradients, optimizers.

pub(super) mod distance;
pub(super) mod dropout;
pub(super) mod gradient;
pub(super) mod loss;
pub(super) mod optimizer;
