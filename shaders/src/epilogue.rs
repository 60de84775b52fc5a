//! What follows the sums of a matrix product or a convolution.

use mindir_graph::DType;
use mindir_graph::task::{EpilogueInput, Instr, Program};

use crate::module::storage;
use crate::program::{body, cast};
use crate::word::{load, stored};
use crate::{Access, Unsupported};

/// Most operands.
pub const OPERANDS: usize = 32;

/// An element-wise program over the sums and further operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Epilogue {
    /// What to compute; input 0 is the sum.
    pub program: Program,
    /// Element type of each operand and how to read it.
    pub operands: Vec<(DType, EpilogueInput)>,
}

impl Epilogue {
    /// The operands `e0`, `e1` … as storage buffers from `binding` on.
    pub(crate) fn declarations(&self, binding: usize) -> Result<String, Unsupported> {
        let declare = |(i, &(dtype, _)): (usize, &(DType, EpilogueInput))| {
            Ok(storage(binding + i, &format!("e{i}"), stored(dtype)?, Access::Read))
        };
        self.operands.iter().enumerate().map(declare).collect()
    }

    /// The function `program`, for sums of elements of `dtype`.
    pub(crate) fn function(&self, dtype: DType) -> Result<String, Unsupported> {
        let dtypes: Vec<DType> = [self.sum(dtype)].into_iter().chain(self.operands.iter().map(|o| o.0)).collect();
        body(&self.program, &dtypes)
    }

    /// The result of `program` for `sum`, which is a `number` and stands for an element of `dtype`, and its type. The operands
    /// are read from `params.firsts` on, at `row`, `col` or `place`.
    pub(crate) fn value(&self, number: DType, dtype: DType) -> Result<(String, DType), Unsupported> {
        let mut values = vec![cast("sum", number, self.sum(dtype))?];
        for (i, &(dtype, input)) in self.operands.iter().enumerate() {
            let first = format!("params.firsts[{}].{}", i / 4, ['x', 'y', 'z', 'w'][i % 4]);
            values.push(load(dtype, &format!("e{i}[{first} + {}]", place(input))));
        }
        Ok((format!("program({})", values.join(", ")), self.program.dtype().unwrap_or(dtype)))
    }

    /// Element type that the program reads the sum in.
    pub(crate) fn sum(&self, dtype: DType) -> DType {
        let read = self.program.instrs.iter().find(|(instr, _)| *instr == Instr::Input(0));
        read.map_or(dtype, |(_, dtype)| *dtype)
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
