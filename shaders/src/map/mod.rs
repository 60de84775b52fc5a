//! Element-wise programs over broadcast operands.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::Program;

use crate::module::storage;
use crate::program::function;
use crate::{Access, Module, Shader, Unsupported, Word};

/// Most operands.
pub const OPERANDS: usize = 12;
/// Most dimensions, after merging.
pub const RANK: usize = 8;

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Elements of the result.
    pub count: u32,
    /// Unused.
    pub gap: [u32; 3],
    /// Extents of the result, outermost first.
    pub dims: [u32; RANK],
    /// Element strides of each operand.
    pub strides: [[u32; RANK]; OPERANDS],
}

/// How an operand is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Read {
    /// Laid out like the result.
    Dense,
    /// One element for everything.
    One,
    /// By strides.
    Strided,
}

/// A variant of the shader; the operands are bound in order, then the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// What to compute.
    pub program: Program,
    /// Element type of each operand and how to read it.
    pub operands: Vec<(DType, Read)>,
    /// Dimensions that strided operands are indexed by.
    pub rank: usize,
}

impl Shader for Map {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let dtypes: Vec<DType> = self.operands.iter().map(|o| o.0).collect();
        let mut text = include_str!("map.wgsl").to_string();
        for (i, &dtype) in dtypes.iter().enumerate() {
            text += &storage(i + 1, &format!("a{i}"), Word::of(dtype)?.stored(), Access::Read);
        }
        let program = function(&self.program, &dtypes)?;
        let result = Word::of(self.program.dtype().unwrap_or(DType::F32))?;
        text += &storage(dtypes.len() + 1, "y", result.stored(), Access::Write);
        text += &format!("\n{program}\n{}", self.element(result)?);
        let bindings = dtypes.iter().map(|_| Access::Read).chain([Access::Write]).collect();
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: 256, shared: 0 })
    }
}

impl Map {
    fn element(&self, result: Word) -> Result<String, Unsupported> {
        let mut body = String::new();
        if self.operands.iter().any(|o| o.1 == Read::Strided) {
            body += &indices(self.rank);
        }
        let mut values = Vec::new();
        for (i, &(dtype, read)) in self.operands.iter().enumerate() {
            let place = match read {
                Read::Dense => "index".to_string(),
                Read::One => "0u".to_string(),
                Read::Strided => self.place(i),
            };
            values.push(Word::of(dtype)?.load(&format!("a{i}[{place}]")));
        }
        let value = result.store(&format!("program({})", values.join(", ")));
        Ok(format!("fn element(index: u32) -> {} {{\n{body}    return {value};\n}}\n", result.stored()))
    }

    fn place(&self, operand: usize) -> String {
        let term = |d: usize| format!("i{d} * params.strides[{}].{}", 2 * operand + d / 4, component(d));
        (0..self.rank).map(term).collect::<Vec<_>>().join(" + ")
    }
}

fn component(d: usize) -> char {
    ['x', 'y', 'z', 'w'][d % 4]
}

/// Declares `i0` to `i{rank - 1}`, the multi-index of `index`.
fn indices(rank: usize) -> String {
    let mut text = String::from("    var rest = index;\n");
    for d in (1..rank).rev() {
        let extent = format!("params.dims[{}].{}", d / 4, component(d));
        let _ = writeln!(text, "    let i{d} = rest % {extent};\n    rest = rest / {extent};");
    }
    text + "    let i0 = rest;\n"
}
