//! Batched matrix products with an epilogue.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;

use crate::epilogue::{Epilogue, OPERANDS};
use crate::module::storage;
use crate::number::number;
use crate::program::{cast, library};
use crate::{Access, Language, Module, Shader, Unsupported, Word, tile, word};

/// Most batch dimensions, after merging.
pub const BATCH: usize = 4;
/// Columns of a tile.
pub const COLUMNS: usize = 64;
/// Rows that a workgroup computes where there are no tiles.
pub const ROWS: usize = 8;
/// Most operands of an epilogue.
pub const EXTRA: usize = 32;

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
    /// Batch strides of the numbers of rows.
    pub row_batch: [i32; BATCH],
    /// First elements of the epilogue's operands.
    pub firsts: [u32; OPERANDS],
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

/// A variant of the shader; binds `a`, `b`, the epilogue's operands, then the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of a tile.
    pub tile: Tile,
    /// Whether neighbours in a row of `a` are neighbours in memory.
    pub a_along_k: bool,
    /// Whether neighbours in a column of `b` are neighbours in memory.
    pub b_along_k: bool,
    /// Element type of `a` and `b`.
    pub dtype: DType,
    /// Element type of the product before the epilogue.
    pub out: DType,
    /// Whether tensor cores may multiply `f32` as tf32, which CUDA has.
    pub tf32: bool,
    /// What becomes of the sums.
    pub end: End,
    /// Whether words of `a`, and of `b`, hold two elements each, which are floats of 16 bits; in WGSL only.
    pub packed: [bool; 2],
    /// Whether the result holds the sums of earlier columns of `a`, to which these are added.
    pub adds: bool,
}

/// What becomes of sums.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// They are the result as they are, for another launch to go on with.
    Partial,
    /// They are the product.
    Product,
    /// They go through an epilogue.
    Epilogue(Epilogue),
}

impl Shader for Gemm {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let word = Word::of(self.dtype)?;
        let mut text = format!("alias Number = {};\n\n", word.stored());
        for (i, name) in ["a", "b"].into_iter().enumerate() {
            text += &self.factor(i, name)?;
        }
        text += include_str!("params.wgsl");
        let mut shared = 0;
        if word.is_wide() {
            text += include_str!("each.wgsl");
        } else {
            let repeat = self.tile.rows() / 8;
            text += &tile::declarations(repeat);
            text += &format!("const A_ALONG_K: bool = {};\n", self.a_along_k);
            text += &format!("const B_ALONG_K: bool = {};\n\n", self.b_along_k);
            text += &tile::unrolled(include_str!("gemm.wgsl"), repeat);
            shared = tile::shared(repeat);
        }
        let extra = if let End::Epilogue(e) = &self.end { e.operands.len() } else { 0 };
        text += &format!("\n{}", self.ends(extra + 3)?);
        text += &format!("\n{}", library(&text));
        let mut bindings = vec![Access::Read; 2 + extra];
        bindings.push(Access::Write);
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: 64, shared })
    }
    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::module(self)
    }
}

impl Gemm {
    /// Whether the product can be the sum of products over parts of `k`: the result holds sums as well.
    pub fn adds_up(&self, language: Language) -> Result<bool, Unsupported> {
        Ok(match language {
            Language::Wgsl => Word::of(self.finish()?.1)? == Word::of(self.dtype)?,
            Language::WgslF16 => self.finish()?.1 != DType::F16 && self.adds_up(Language::Wgsl)?,
            Language::Cuda => false,
        })
    }

    /// Rows that a workgroup computes, of [`COLUMNS`] columns.
    pub fn rows(&self, language: Language) -> Result<usize, Unsupported> {
        Ok(if self.is_tiled(language)? { self.tile.rows() } else { ROWS })
    }

    /// Whether factors of `f32` are rounded to tf32.
    pub fn is_tf32(&self, language: Language) -> bool {
        self.tf32 && self.dtype == DType::F32 && self.tile == Tile::Rows64 && language == Language::Cuda
    }

    /// Whether workgroups compute tiles; else every invocation computes elements by itself.
    pub fn is_tiled(&self, language: Language) -> Result<bool, Unsupported> {
        Ok(language == Language::Cuda || !Word::of(self.dtype)?.is_wide())
    }

    /// Factor `index` with the function that gives its elements.
    fn factor(&self, index: usize, name: &str) -> Result<String, Unsupported> {
        let (stored, element) = match self.packed[index] {
            true => ("u32", word::packed(self.dtype, name, "at")),
            false => (word::stored(self.dtype)?, format!("Number({name}[at])")),
        };
        let declared = storage(index + 1, name, stored, Access::Read);
        Ok(format!("{declared}\nfn {name}_at(at: u32) -> Number {{\n    return {element};\n}}\n\n"))
    }

    /// The functions `begin` and `finish` with what they need, and the result at `binding`.
    fn ends(&self, binding: usize) -> Result<String, Unsupported> {
        let (value, out) = self.finish()?;
        let stored = word::stored(out)?;
        let mut text = storage(binding, "y", stored, Access::Write);
        let begin = if self.adds { "Number(y[params.c_first + place])" } else { "Number()" };
        let mut functions = format!("fn begin(place: u32) -> Number {{\n    return {begin};\n}}\n\n");
        if let End::Epilogue(e) = &self.end {
            text += &e.declarations(3)?;
            functions += &e.function(self.out)?;
        }
        let head = format!("fn finish(sum: Number, row: u32, col: u32, place: u32) -> {stored} {{\n");
        functions += &format!("\n{head}    return {};\n}}\n", word::store(out, &value));
        Ok(format!("{text}\n{functions}"))
    }

    /// What becomes of `sum`, with its element type.
    fn finish(&self) -> Result<(String, DType), Unsupported> {
        let number = number(self.dtype)?;
        match &self.end {
            End::Partial => Ok(("sum".into(), number)),
            End::Product => Ok((cast("sum", number, self.out)?, self.out)),
            End::Epilogue(e) => e.value(number, self.out),
        }
    }
}
