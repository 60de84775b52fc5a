//! Batched matrix products with an epilogue.

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::{EpilogueInput, Program};

use crate::module::storage;
use crate::program::function;
use crate::{Access, Module, Shader, Unsupported, Word};

/// Most batch dimensions, after merging.
pub const BATCH: usize = 4;
/// Columns of a tile.
pub const COLUMNS: usize = 64;

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Rows of `a` and `c`.
    pub m: u32,
    /// Columns of `b` and `c`.
    pub n: u32,
    /// Columns of `a`, rows of `b`.
    pub k: u32,
    /// Number of products.
    pub batches: u32,
    /// Elements between rows of `a`.
    pub a_row: u32,
    /// Elements between columns of `a`.
    pub a_col: u32,
    /// Elements between rows of `b`.
    pub b_row: u32,
    /// Elements between columns of `b`.
    pub b_col: u32,
    /// Elements between rows of `c`.
    pub c_row: u32,
    /// First element of `a`.
    pub a_first: u32,
    /// First element of `b`.
    pub b_first: u32,
    /// First element of `c`.
    pub c_first: u32,
    /// Extents of the batch dimensions, outermost first.
    pub batch: [u32; BATCH],
    /// Batch strides of `a`.
    pub a_batch: [i32; BATCH],
    /// Batch strides of `b`.
    pub b_batch: [i32; BATCH],
    /// Batch strides of `c`.
    pub c_batch: [i32; BATCH],
}

/// Rows of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// 8 rows.
    Rows8,
    /// 64 rows.
    Rows64,
}

impl Tile {
    /// Number of rows.
    pub fn rows(self) -> usize {
        match self {
            Tile::Rows8 => 8,
            Tile::Rows64 => 64,
        }
    }
}

/// An element-wise program over the sums and further operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Epilogue {
    /// What to compute; input 0 is the sum.
    pub program: Program,
    /// Element type of each operand and how to read it.
    pub operands: Vec<(DType, EpilogueInput)>,
}

/// A variant of the shader; binds `a`, `b`, the epilogue's operands, then the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of a tile.
    pub tile: Tile,
    /// Whether neighbours in a row of `a` are neighbours in memory.
    pub a_along_k: bool,
    /// Whether neighbours in a column of `b` are neighbours in memory.
    pub b_along_k: bool,
    /// Applied to every sum.
    pub epilogue: Option<Epilogue>,
}

impl Shader for Gemm {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let repeat = self.tile.rows() / 8;
        let mut text = format!("const REPEAT: u32 = {repeat}u;\n");
        text += &format!("const A_ALONG_K: bool = {};\n", self.a_along_k);
        text += &format!("const B_ALONG_K: bool = {};\n\n", self.b_along_k);
        text += include_str!("gemm.wgsl");
        text += "\n";
        let extra = self.epilogue.as_ref().map_or(0, |e| e.operands.len());
        text += &self.finish(extra + 3)?;
        let mut bindings = vec![Access::Read; 2 + extra];
        bindings.push(Access::Write);
        let shared = 4 * 16 * (8 * repeat as u32 + 1 + 65);
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: 64, shared })
    }
}

impl Gemm {
    fn finish(&self, binding: usize) -> Result<String, Unsupported> {
        let head = |out: &str| format!("fn finish(sum: f32, row: u32, col: u32, place: u32) -> {out} {{\n");
        let Some(e) = &self.epilogue else {
            let y = storage(binding, "y", "f32", Access::Write);
            return Ok(format!("{y}\n{}    return sum;\n}}\n", head("f32")));
        };
        let mut text = String::new();
        let (mut dtypes, mut values) = (vec![DType::F32], vec!["sum".to_string()]);
        for (i, &(dtype, input)) in e.operands.iter().enumerate() {
            let word = Word::of(dtype)?;
            text += &storage(i + 3, &format!("e{i}"), word.stored(), Access::Read);
            values.push(word.load(&format!("e{i}[{}]", place(input))));
            dtypes.push(dtype);
        }
        let program = function(&e.program, &dtypes)?;
        let out = Word::of(e.program.dtype().unwrap_or(DType::F32))?;
        text += &storage(binding, "y", out.stored(), Access::Write);
        let value = out.store(&format!("program({})", values.join(", ")));
        Ok(format!("{text}\n{program}\n{}    return {value};\n}}\n", head(out.stored())))
    }
}

fn place(input: EpilogueInput) -> &'static str {
    match input {
        EpilogueInput::Scalar => "0u",
        EpilogueInput::Column => "col",
        EpilogueInput::Row => "row",
        EpilogueInput::Full => "place",
    }
}
