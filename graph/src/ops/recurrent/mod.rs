//! Layers that go through a sequence step by step.

pub(super) mod gru;
pub(super) mod lstm;
pub(super) mod lstm_grad;
