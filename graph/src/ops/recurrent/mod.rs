//! Layers that go through a sequence step by step.

pub(super) mod lstm;
