//! Reductions of an axis to values or positions.

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::ReduceKind;

use crate::module::storage;
use crate::program::library;
use crate::word::wrap;
use crate::{Access, Lines, Module, Shader, Unsupported, Word};

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Number of lines.
    pub lines: u32,
    /// Elements of a line, at least 1.
    pub len: u32,
    /// Elements between two of a line.
    pub inner: u32,
}

/// A variant of the shader; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// Who works on a line.
    pub lines: Lines,
    /// What to compute.
    pub kind: ReduceKind,
    /// Element type of the operand.
    pub dtype: DType,
    /// Element type of the result.
    pub out: DType,
}

impl Shader for Reduce {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let (source, invocations, shared) = match self.lines {
            Lines::Group => (include_str!("group.wgsl"), 256, 2048),
            Lines::Single => (include_str!("single.wgsl"), 64, 0),
        };
        let (word, out) = (Word::of(self.dtype)?, Word::of(self.out)?);
        let functions = format!("{}\n{}", self.combine(word)?, self.finish(out));
        let text = format!(
            "{source}\nalias Number = {};\n\n{}{}\n{}{functions}",
            word.stored(),
            storage(1, "x", word.stored(), Access::Read),
            storage(2, "y", out.stored(), Access::Write),
            library(&functions),
        );
        let bindings = vec![Access::Read, Access::Write];
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations, shared })
    }
}

impl Reduce {
    fn combine(&self, word: Word) -> Result<String, Unsupported> {
        let value = match self.kind {
            ReduceKind::ArgMax | ReduceKind::ArgMin => return Ok(self.better(word)),
            ReduceKind::Sum | ReduceKind::Prod if word == Word::Bool => None,
            ReduceKind::Sum => Some("a.value + b.value"),
            ReduceKind::Mean => (word == Word::F32).then_some("a.value + b.value"),
            ReduceKind::Prod => Some("a.value * b.value"),
            ReduceKind::Max if word == Word::F32 => Some("larger(a.value, b.value)"),
            ReduceKind::Min if word == Word::F32 => Some("smaller(a.value, b.value)"),
            ReduceKind::Max => Some("max(a.value, b.value)"),
            ReduceKind::Min => Some("min(a.value, b.value)"),
            ReduceKind::All => (word == Word::Bool).then_some("a.value & b.value"),
            ReduceKind::Any => (word == Word::Bool).then_some("a.value | b.value"),
        };
        let value = value.ok_or_else(|| Unsupported(format!("there is no {:?} of {}", self.kind, self.dtype)))?;
        Ok(format!("fn combine(a: Found, b: Found) -> Found {{\n    return Found({value}, 0u);\n}}\n"))
    }

    /// The better of two; of equals the earlier.
    fn better(&self, word: Word) -> String {
        let order = if self.kind == ReduceKind::ArgMax { ">" } else { "<" };
        let nan = |x: &str| if word == Word::F32 { format!("is_nan({x})") } else { "false".into() };
        format!(
            "fn beats(a: Number, b: Number) -> bool {{\n    return !{} && ({} || a {order} b);\n}}\n\n\
             fn combine(a: Found, b: Found) -> Found {{\n    \
             let later = beats(b.value, a.value) || (!beats(a.value, b.value) && b.place < a.place);\n    \
             return Found(select(a.value, b.value, later), select(a.place, b.place, later));\n}}\n",
            nan("b"),
            nan("a"),
        )
    }

    fn finish(&self, out: Word) -> String {
        let value = match self.kind {
            ReduceKind::ArgMax | ReduceKind::ArgMin => format!("{}(found.place)", out.stored()),
            ReduceKind::Mean => "found.value / f32(params.len)".into(),
            ReduceKind::Sum | ReduceKind::Prod => wrap(self.out, "found.value"),
            _ => "found.value".into(),
        };
        format!("fn finish(found: Found) -> {} {{\n    return {value};\n}}\n", out.stored())
    }
}
