//! What an operator is: a signature, a shape rule, a reference and a lowering to tasks.

mod args;
mod constant;
mod operand;
mod rule;
mod types;

pub use args::{ArgValue, Args, FromArg, Param, ParamKind, canonical};
pub use constant::Const;
pub use operand::{Operand, Watch, Watched};
pub use rule::{Case, CaseArg, Effect, Lowers, OpDef, Pure, Rule, Signature};
pub use types::{Ints, Late, Number, ints};

/// Declares an operator's name and signature; the struct's fields are the arguments in MindSpore's order.
///
/// ```ignore
/// op! {
///     /// `x · scale`.
///     Scaled, aliases ["OldScaled"] {
///         x: Operand,
///         scale: f64 = 1.0,
///         axes ["axis"]: Ints = ints(&[-1]),   // old files call it `axis`
///     }
/// }
/// ```
///
/// `op! { … classic Conv2D { … } }` marks a primitive whose arguments after the tensors are still attributes in MindSpore 2.
#[macro_export]
macro_rules! op {
    ($(#[doc = $doc:literal])+ classic $name:ident $($rest:tt)*) => {
        $crate::op!(@ true, [$($doc)+] $name $($rest)*);
    };
    ($(#[doc = $doc:literal])+ $name:ident $($rest:tt)*) => {
        $crate::op!(@ false, [$($doc)+] $name $($rest)*);
    };
    (@ $classic:literal, [$($doc:literal)+] $name:ident $(, aliases [$($alias:literal),*])? {
        $($field:ident $([$($old:literal),*])? : $t:ty $(= $default:expr)?),* $(,)?
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        // Names and fields are MindSpore's and described in the operator's own text; some arguments have no effect here.
        #[allow(clippy::upper_case_acronyms, dead_code, missing_docs)]
        pub struct $name { $(pub $field: $t),* }

        impl $crate::op::Signature for $name {
            const NAME: &'static str = stringify!($name);
            const ALIASES: &'static [&'static str] = &[$($($alias),*)?];
            const PARAMS: &'static [$crate::op::Param] = &[$($crate::op::Param {
                name: stringify!($field),
                aliases: &[$($($old),*)?],
                kind: <$t as $crate::op::FromArg>::KIND,
                optional: $crate::op!(@has $($default)?),
                default: $crate::op!(@default $t $(, $default)?),
                canonical: $crate::op::canonical::<$t>,
            }),*];
            const CLASSIC: bool = $classic;
            const DOC: &'static str = concat!($($doc, "\n"),+);

            // The last count is not read, and operators without arguments read nothing.
            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn parse(args: &$crate::op::Args) -> Result<Self, $crate::OpError> {
                let mut index = 0;
                $(
                    let $field: $t = $crate::op!(@get args, index, stringify!($field) $(, $default)?);
                    index += 1;
                )*
                Ok($name { $($field),* })
            }
        }
    };
    (@default $t:ty) => { || None };
    (@default $t:ty, $default:expr) => { || <$t as $crate::op::FromArg>::into_const($default) };
    (@has) => { false };
    (@has $default:expr) => { true };
    (@get $args:ident, $index:ident, $name:expr) => { $args.need($index, $name)? };
    (@get $args:ident, $index:ident, $name:expr, $default:expr) => {
        match $args.get($index, $name)? {
            Some(value) => value,
            None => $crate::op::FromArg::exported($default),
        }
    };
}
