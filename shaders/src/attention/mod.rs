//! Attention in one pass over the keys: scores are never stored.

mod cuda;

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::Program;

use crate::module::{BLOCK, storage};
use crate::program::{body, library};
use crate::{Access, Module, Shader, Unsupported, tile, word};

/// Most batch dimensions, after merging.
pub const BATCH: usize = 4;
/// Most operands that the program reads besides the scores.
pub const OTHERS: usize = 8;
/// Keys that are taken at a time for several queries.
const KEYS: usize = 32;

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Queries.
    pub m: u32,
    /// Keys.
    pub n: u32,
    /// Elements of a query or a key.
    pub k: u32,
    /// Columns of the values.
    pub cols: u32,
    /// Number of batches.
    pub batches: u32,
    /// Elements between queries.
    pub q_row: u32,
    /// Elements between those of a query.
    pub q_col: u32,
    /// Elements between keys.
    pub k_row: u32,
    /// Elements between those of a key.
    pub k_col: u32,
    /// Elements between the values of two keys.
    pub v_row: u32,
    /// Elements between columns of the values.
    pub v_col: u32,
    /// Elements between rows of the result.
    pub y_row: u32,
    /// First element of the queries.
    pub q_first: u32,
    /// First element of the keys.
    pub k_first: u32,
    /// First element of the values.
    pub v_first: u32,
    /// First element of the result.
    pub y_first: u32,
    /// Extents of the batch dimensions, outermost first.
    pub batch: [u32; BATCH],
    /// Batch strides of the queries.
    pub q_batch: [i32; BATCH],
    /// Batch strides of the keys.
    pub k_batch: [i32; BATCH],
    /// Batch strides of the values.
    pub v_batch: [i32; BATCH],
    /// Batch strides of the result.
    pub y_batch: [i32; BATCH],
    /// First elements of the program's other operands.
    pub firsts: [u32; OTHERS],
    /// Their elements from query to query.
    pub rows: [u32; OTHERS],
    /// Their elements from key to key.
    pub columns: [u32; OTHERS],
    /// Their batch strides.
    pub steps: [[i32; BATCH]; OTHERS],
}

/// Queries that a workgroup takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One query, whose keys and values are shared out.
    One,
    /// 8 queries.
    Eight,
    /// 32 queries.
    ThirtyTwo,
}

impl Rows {
    /// The fewest that hold all of `queries`, or the most. Few are taken one by one.
    pub fn covering(queries: usize) -> Rows {
        match queries {
            0..=3 => Rows::One,
            4..=8 => Rows::Eight,
            _ => Rows::ThirtyTwo,
        }
    }

    /// Number of queries.
    pub fn count(self) -> usize {
        match self {
            Rows::One => 1,
            Rows::Eight => 8,
            Rows::ThirtyTwo => 32,
        }
    }

    /// Keys that are taken at a time.
    pub fn keys(self) -> usize {
        if self == Rows::One { 256 } else { KEYS }
    }

    /// Queries of an invocation.
    fn repeat(self) -> usize {
        self.count().div_ceil(8)
    }

    fn invocations(self) -> u32 {
        if self == Rows::One { 256 } else { 64 }
    }
}

/// Columns of the values that a workgroup weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Columns {
    /// 32 columns.
    C32,
    /// 64 columns.
    C64,
    /// 128 columns.
    C128,
}

impl Columns {
    /// The fewest that hold all of `cols`, or the most.
    pub fn covering(cols: usize) -> Columns {
        match cols {
            0..=32 => Columns::C32,
            33..=64 => Columns::C64,
            _ => Columns::C128,
        }
    }

    /// Number of columns.
    pub fn count(self) -> usize {
        match self {
            Columns::C32 => 32,
            Columns::C64 => 64,
            Columns::C128 => 128,
        }
    }
}

/// A variant of the shader, of `f32`; binds queries, keys, the program's other operands, values, then the result.
///
/// Sums of weights and of weighted values are kept as multiples of `exp(largest score so far)`, so values near the largest `f32` may
/// overflow that would not if the weights were divided by their sum before.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Queries of a workgroup.
    pub rows: Rows,
    /// Columns of a workgroup.
    pub columns: Columns,
    /// Whether the elements of a query are neighbours in memory.
    pub q_along: bool,
    /// Whether the elements of a key are neighbours in memory.
    pub k_along: bool,
    /// Whether the columns of the values are neighbours in memory.
    pub v_along: bool,
    /// What becomes of a score, its input 0, before the softmax; its result is `f32`.
    pub program: Program,
    /// Element types of the program's other inputs.
    pub others: Vec<DType>,
}

impl Shader for Attention {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut text = include_str!("params.wgsl").to_string();
        let mut bindings = vec![storage(1, "q", "f32", Access::Read), storage(2, "keys", "f32", Access::Read)];
        for (i, &dtype) in self.others.iter().enumerate() {
            bindings.push(storage(3 + i, &format!("m{i}"), word::stored(dtype)?, Access::Read));
        }
        let last = 3 + self.others.len();
        bindings.push(storage(last, "v", "f32", Access::Read));
        bindings.push(storage(last + 1, "y", "f32", Access::Write));
        text += &format!("\n{}\n", bindings.concat());
        text += &format!("const COLUMNS: u32 = {}u;\n", self.columns.count());
        text += &self.text();
        text += &format!("\n{}\n{}", self.score()?, body(&self.program, &self.inputs())?);
        text += &format!("\n{}", library(&text));
        let mut access = vec![Access::Read; 3 + self.others.len()];
        access.push(Access::Write);
        let words = if self.rows == Rows::One { 64 + 2 * 256 } else { self.tile() + self.rows.count() * (33 + 9) };
        let (invocations, shared) = (self.rows.invocations(), 4 * words as u32);
        Ok(Module { source: text, bindings: access, constants: Vec::new(), invocations, shared })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::module(self)
    }
}

impl Attention {
    /// Element types of the program's inputs.
    fn inputs(&self) -> Vec<DType> {
        [DType::F32].into_iter().chain(self.others.iter().copied()).collect()
    }

    /// Words of workgroup memory for queries and keys, or for values.
    fn tile(&self) -> usize {
        (16 * (self.rows.count() + 1 + KEYS + 1)).max(16 * (self.columns.count() + 1))
    }

    /// The functions `open` and `score`, with where the other operands start in a batch.
    fn score(&self) -> Result<String, Unsupported> {
        let (mut starts, mut open, mut values) = (String::new(), String::new(), vec!["sum".to_string()]);
        for (i, &dtype) in self.others.iter().enumerate() {
            let part = |of: &str| format!("params.{of}[{}].{}", i / 4, ['x', 'y', 'z', 'w'][i % 4]);
            let _ = writeln!(starts, "var<private> start_{i}: u32;");
            let _ = writeln!(open, "    start_{i} = {} + u32(along(index, params.steps[{i}]));", part("firsts"));
            let place = format!("m{i}[start_{i} + row * {} + key * {}]", part("rows"), part("columns"));
            values.push(word::load(dtype, &place));
        }
        Ok(format!(
            "{starts}\nfn open(index: vec4<i32>) {{\n{open}}}\n\n\
             fn score(row: u32, key: u32, sum: f32) -> f32 {{\n    return program({});\n}}\n",
            values.join(", ")
        ))
    }

    /// The entry point with what it needs besides parameters, bindings and the program.
    fn text(&self) -> String {
        if self.rows == Rows::One {
            return format!("\n{BLOCK}\n{}", include_str!("single.wgsl"));
        }
        let (rows, tile) = (self.rows.count(), self.tile());
        let declared = format!(
            "const ROWS: u32 = {rows}u;\nconst PITCH: u32 = ROWS + 1u;\nconst TILE: u32 = {tile}u;\n\
             const Q_ALONG: bool = {};\nconst K_ALONG: bool = {};\nconst V_ALONG: bool = {};\n\n",
            self.q_along, self.k_along, self.v_along
        );
        declared + &self.unrolled()
    }

    /// The text for several queries, with what stands once for each query of an invocation.
    fn unrolled(&self) -> String {
        let wide = self.columns.count() / 32;
        let each = |lines: &dyn Fn(usize) -> String| (0..self.rows.repeat()).map(lines).collect::<String>();
        let parts = |line: &dyn Fn(usize) -> String| (0..wide).map(line).collect::<String>();
        let four = |of: &str, at: &str| {
            let places = [0, 8, 16, 24].map(|s| format!("{of}[{at} + {s}u]"));
            format!("vec4<f32>({})", places.join(", "))
        };
        let begin = each(&|r| {
            let outs = parts(&|c| format!("var out_{r}_{c} = vec4<f32>();\n"));
            format!("var largest_{r} = from_bits(0xff800000u);\nvar sum_{r} = 0.0;\n{outs}")
        });
        let products = each(&|r| format!("found_{r} = found_{r} + tile[l * PITCH + i + {}u] * right;\n", 8 * r));
        let multiply = format!("let right = {};\n{products}", four("tile", "16u * PITCH + l * 33u + j"));
        let largest = each(&|r| {
            format!(
                "found_{r} = scores(row + i + {0}u, key + j, found_{r});\n\
                 cells[(i + {0}u) * 9u + j] = largest_of(found_{r});\n",
                8 * r
            )
        });
        let weigh = each(&|r| {
            let shrink = parts(&|c| format!("out_{r}_{c} = out_{r}_{c} * shrunk_{r};\n"));
            format!(
                "let top_{r} = largest_cell(i + {0}u, largest_{r});\n\
                 let base_{r} = base_of(top_{r});\n\
                 let shrunk_{r} = exponential(largest_{r} - base_{r});\n\
                 let weights_{r} = weigh(found_{r} - base_{r});\n\
                 keep(i + {0}u, j, weights_{r});\n\
                 largest_{r} = top_{r};\n\
                 sum_{r} = sum_{r} * shrunk_{r} + (weights_{r}.x + weights_{r}.y + weights_{r}.z + weights_{r}.w);\n{shrink}",
                8 * r
            )
        });
        let rights = parts(&|c| {
            format!("let right_{c} = {};\n", four("tile", &format!("l * (COLUMNS + 1u) + j + {}u", 32 * c)))
        });
        let weighed = each(&|r| {
            let adds = parts(&|c| format!("out_{r}_{c} = out_{r}_{c} + left_{r} * right_{c};\n"));
            format!("let left_{r} = weights[(i + {}u) * 33u + h + l];\n{adds}", 8 * r)
        });
        let put = each(&|r| {
            let puts =
                parts(&|c| format!("put(at.w, row + i + {}u, col + j + {}u, out_{r}_{c} / all_{r});\n", 8 * r, 32 * c));
            format!("let all_{r} = sum_of_cells(i + {}u);\n{puts}", 8 * r)
        });
        tile::inserted(
            include_str!("attention.wgsl"),
            &[
                ("BEGIN;", begin),
                ("SCORES;", each(&|r| format!("var found_{r} = vec4<f32>();\n"))),
                ("MULTIPLY;", multiply),
                ("LARGEST;", largest),
                ("WEIGH;", weigh),
                ("ADD;", rights + &weighed),
                ("SUMS;", each(&|r| format!("cells[(i + {}u) * 9u + j] = sum_{r};\n", 8 * r))),
                ("PUT;", put),
            ],
        )
    }
}
