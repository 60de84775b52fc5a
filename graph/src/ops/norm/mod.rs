//! Normalisation and what it is made of.

pub(super) mod batch_norm;
pub(super) mod gradient;
pub(super) mod l2_normalize;
pub(super) mod layer_norm;
pub(super) mod lrn_grad;
pub(super) mod moment;
pub(super) mod renorm;
pub(super) mod vector_norm;
