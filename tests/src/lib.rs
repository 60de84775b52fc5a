//! What the conformance tests share: goldens, comparison, random cases and shapes, and the `f64` run of a model.

pub mod compare;
pub mod counting;
pub mod flows;
pub mod golden;
pub mod models;
pub mod precise;
pub mod random;
pub mod reference;
pub mod shapes;
pub mod suite;
pub mod tasks;
