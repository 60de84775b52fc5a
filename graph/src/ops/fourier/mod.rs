//! Fourier and cosine transforms of signals, and their windows.

mod signal;

pub(super) mod cosine;
pub(super) mod frequencies;
pub(super) mod short_time;
pub(super) mod transforms;
pub(super) mod windows;
