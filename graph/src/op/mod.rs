//! What an operator is: a signature, a shape rule, a reference and a lowering to tasks.

mod args;
mod constant;
mod operand;
mod rule;
mod types;

pub use args::{ArgValue, Args, FromArg, Held, Param, ParamKind, canonical};
pub use constant::Const;
pub use operand::{Operand, Watch, Watched};
pub use rule::{
    Alias, Case, CaseArg, Effect, Kind, Lowers, OpDef, Operator, Pure, Results, Rule, Signature, Undo, Writes,
};
pub use types::{Ints, Late, Number, ints};

/// Declares an operator's name and signature, which reading and writing files share; the struct's fields are the arguments in
/// MindSpore's order.
///
/// ```ignore
/// op! {
///     /// `x · scale` in windows.
///     classic Scaled, aliases ["ScaledExt", classic "ScaledV2"], copies [scales = scale] {
///         x: Operand,
///         scale: f64 = 1.0,
///         window ["ksize"]: Ints as Whole(2) = ints(&[1]),   // old files call it `ksize`
///         axis: i64 as Input,
///     } -> Tuple
/// }
/// ```
///
/// `classic`, `object` or nothing in front of a name is its [`Kind`]; an alias may also be a `view`. `as` says how files hold
/// an argument where that is not plain, see [`Held`]; `copies` names attributes that repeat an argument; `->` says what
/// [`Results`] are in files.
#[macro_export]
macro_rules! op {
    ($(#[doc = $doc:literal])+ classic $($rest:tt)*) => { $crate::op!(@ classic [$($doc)+] $($rest)*); };
    ($(#[doc = $doc:literal])+ object $($rest:tt)*) => { $crate::op!(@ object [$($doc)+] $($rest)*); };
    ($(#[doc = $doc:literal])+ $name:ident $($rest:tt)*) => { $crate::op!(@ function [$($doc)+] $name $($rest)*); };
    (@ $kind:ident [$($doc:literal)+] $name:ident
        $(, aliases [$($($how:ident)? $alias:literal),*])? $(, copies [$($copy:ident = $of:ident),*])?
    {
        $($field:ident $([$($old:literal),*])? : $t:ty $(as $held:ident $(($($n:literal),*))?)? $(= $default:expr)?),* $(,)?
    } $(-> $results:ident)?) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        // Names and fields are MindSpore's and described in the operator's own text; some arguments have no effect here.
        #[allow(clippy::upper_case_acronyms, dead_code, missing_docs)]
        pub struct $name { $(pub $field: $t),* }

        impl $crate::op::Signature for $name {
            const NAME: &'static str = stringify!($name);
            const KIND: $crate::op::Kind = $crate::op!(@kind $kind);
            const ALIASES: &'static [$crate::op::Alias] =
                &[$($($crate::op::Alias { name: $alias, kind: $crate::op!(@kind $($how)?) }),*)?];
            const PARAMS: &'static [$crate::op::Param] = &[$($crate::op::Param {
                name: stringify!($field),
                aliases: &[$($($old),*)?],
                kind: <$t as $crate::op::FromArg>::KIND,
                optional: $crate::op!(@has $($default)?),
                default: $crate::op!(@default $t $(, $default)?),
                canonical: $crate::op::canonical::<$t>,
                texts: <$t as $crate::op::FromArg>::TEXTS,
                held: $crate::op!(@held $($held $(($($n),*))?)?),
            }),*];
            const COPIES: &'static [(&'static str, &'static str)] = &[$($((stringify!($copy), stringify!($of))),*)?];
            const RESULTS: $crate::op::Results = $crate::op!(@results $($results)?);
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
    (@kind $(function)?) => { $crate::op::Kind::Function };
    (@kind view) => { $crate::op::Kind::View };
    (@kind object) => { $crate::op::Kind::Object };
    (@kind classic) => { $crate::op::Kind::Classic };
    (@held) => { $crate::op::Held::Plain };
    (@held $($held:tt)+) => { $crate::op::Held::$($held)+ };
    (@results) => { $crate::op::Results::Plain };
    (@results $results:ident) => { $crate::op::Results::$results };
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
