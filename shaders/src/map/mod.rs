//! Element-wise programs over broadcast operands.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::Program;

use crate::cuda::{self, layout};
use crate::module::storage;
use crate::program::function;
use crate::{Access, Module, Shader, Unsupported, word};

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
            text += &storage(i + 1, &format!("a{i}"), word::stored(dtype)?, Access::Read);
        }
        let program = function(&self.program, &dtypes)?;
        let result = self.program.dtype().unwrap_or(DType::F32);
        text += &storage(dtypes.len() + 1, "y", word::stored(result)?, Access::Write);
        text += &format!("\n{program}\n{}", self.put(result));
        let bindings = dtypes.iter().map(|_| Access::Read).chain([Access::Write]).collect();
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: 256, shared: 0 })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        let dtypes: Vec<DType> = self.operands.iter().map(|o| o.0).collect();
        let mut bindings = Vec::new();
        for (i, &dtype) in dtypes.iter().enumerate() {
            bindings.push((format!("a{i}"), cuda::stored(dtype)?, Access::Read));
        }
        let result = cuda::stored(self.program.dtype().unwrap_or(DType::F32))?;
        bindings.push(("y".into(), result, Access::Write));
        let params = layout!(Params: count, dims, firsts, strides);
        let program = cuda::function(&self.program, &dtypes)?;
        let parts = [include_str!("map.cu"), &params, cuda::LIBRARY, &program];
        Ok(cuda::module(&parts, &bindings, 256, 0, &self.cuda_body(result)))
    }
}

impl Map {
    /// The function that computes and writes element `index`.
    fn put(&self, result: DType) -> String {
        let mut body = String::new();
        if self.strided() {
            body += &indices(self.rank);
        }
        let mut values = Vec::new();
        for (i, &(dtype, read)) in self.operands.iter().enumerate() {
            values.push(word::load(dtype, &format!("a{i}[{}]", self.place(i, read))));
        }
        let place = self.place(self.operands.len(), self.write);
        let value = word::store(result, &format!("program({})", values.join(", ")));
        format!("fn put(index: u32) {{\n{body}    y[{place}] = {value};\n}}\n")
    }

    fn strided(&self) -> bool {
        self.operands.iter().map(|o| o.1).chain([self.write]).any(|read| read == Read::Strided)
    }

    /// Computes and writes an element.
    fn cuda_body(&self, result: &str) -> String {
        let mut body =
            String::from("    u32 index = group() * 256 + threadIdx.x;\n    if (index >= params.count) return;\n");
        if self.strided() {
            body += "    u32 rest = index;\n";
            for d in (1..self.rank).rev() {
                let _ = writeln!(body, "    u32 i{d} = rest % params.dims[{d}];\n    rest /= params.dims[{d}];");
            }
            body += "    u32 i0 = rest;\n";
        }
        let place = |i: usize, read: Read| {
            let term = |d: usize| format!(" + i{d} * params.strides[{i}][{d}]");
            let steps = match read {
                Read::Dense => " + index".to_string(),
                Read::One => String::new(),
                Read::Strided => (0..self.rank).map(term).collect(),
            };
            format!("params.firsts[{i}]{steps}")
        };
        let value = |(i, &(_, read)): (usize, &(DType, Read))| format!("load(a{i}[{}])", place(i, read));
        let values: Vec<String> = self.operands.iter().enumerate().map(value).collect();
        let (at, values) = (place(self.operands.len(), self.write), values.join(", "));
        body + &format!("    y[{at}] = store<{result}>(program({values}));\n")
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
