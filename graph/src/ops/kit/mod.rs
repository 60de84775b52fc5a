//! What the operators share.

pub(super) mod adjoint;
pub(super) mod arithmetic;
pub(super) mod border;
pub(super) mod broadcasting;
pub(super) mod complex;
pub(super) mod composite;
pub(super) mod defined;
pub(super) mod elementwise;
pub(super) mod formula;
pub(super) mod grid;
pub(super) mod host;
pub(super) mod indices;
pub(super) mod sample;
pub(super) mod taps;
pub(super) mod window;
