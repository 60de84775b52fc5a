//! Random numbers. They follow from the seeds, and where numbers are chosen by weights from these: the same in every run.

pub(super) mod choice;
pub(super) mod distributions;
mod draw;
