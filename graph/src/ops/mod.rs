//! The operators: one file and one line each.

mod load;
mod relu;
mod softmax;

use crate::op::OpDef;

macro_rules! ops {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// Every operator, in alphabetical order of the files.
        pub static OPS: &[OpDef] = &[$(OpDef::of::<$module::$name>()),*];
    };
}

ops! {
    load::Load,
    relu::ReLU,
    softmax::Softmax,
}

/// The operator that MindSpore calls `name`; aliases count.
pub fn find(name: &str) -> Option<&'static OpDef> {
    OPS.iter().find(|d| d.name == name || d.aliases.contains(&name))
}
