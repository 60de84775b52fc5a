//! Element-wise programs over broadcast operands.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::Program;

use crate::module::storage;
use crate::program::function;
use crate::{Access, Module, Shader, Unsupported, Word};

/// Most operands, with the result.
pub const TENSORS: usize = 32;
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
    /// First element of each operand, then of the result.
    pub firsts: [u32; TENSORS],
    /// Element strides of each operand, then of the result.
    pub strides: [[u32; RANK]; TENSORS],
}

/// How the elements of a tensor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Read {
    /// In order.
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
    /// How the result is laid out.
    pub write: Read,
    /// Dimensions that strided tensors are indexed by.
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
        text += &format!("\n{program}\n{}", self.put(result)?);
        let bindings = dtypes.iter().map(|_| Access::Read).chain([Access::Write]).collect();
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: 256, shared: 0 })
    }
}

impl Map {
    /// The function that computes and writes element `index`.
    fn put(&self, result: Word) -> Result<String, Unsupported> {
        let mut body = String::new();
        let strided = |read: Read| read == Read::Strided;
        if strided(self.write) || self.operands.iter().any(|o| strided(o.1)) {
            body += &indices(self.rank);
        }
        let mut values = Vec::new();
        for (i, &(dtype, read)) in self.operands.iter().enumerate() {
            values.push(Word::of(dtype)?.load(&format!("a{i}[{}]", self.place(i, read))));
        }
        let place = self.place(self.operands.len(), self.write);
        let value = result.store(&format!("program({})", values.join(", ")));
        Ok(format!("fn put(index: u32) {{\n{body}    y[{place}] = {value};\n}}\n"))
    }

    /// Where element `index` of a tensor lies.
    fn place(&self, tensor: usize, read: Read) -> String {
        let first = format!("params.firsts[{}].{}", tensor / 4, component(tensor));
        let term = |d: usize| format!(" + i{d} * params.strides[{}].{}", 2 * tensor + d / 4, component(d));
        match read {
            Read::Dense => format!("{first} + index"),
            Read::One => first,
            Read::Strided => first + &(0..self.rank).map(term).collect::<String>(),
        }
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
