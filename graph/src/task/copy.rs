use crate::{DType, Shape, Strides};

/// Strided copies from several tensors into one: transpose, slice, concatenate, pad, repeat, reverse.
///
/// Inputs: the tensors that the parts name. Output: one dense tensor, filled with `fill` where no part writes.
/// Parts do not overlap in the output.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Element type of every tensor.
    pub dtype: DType,
    /// Bytes of one element for places that no part writes; `None` if the parts cover the output.
    pub fill: Option<Vec<u8>>,
    /// What to copy.
    pub parts: Vec<Part>,
}

/// One strided block: element `i` (a multi-index below `shape`) goes from `src_offset + Σ i·src` of the input to
/// `dst_offset + Σ i·dst` of the output, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the task's input.
    pub input: usize,
    /// Extent of the block.
    pub shape: Shape,
    /// First element read.
    pub src_offset: usize,
    /// Input strides.
    pub src: Strides,
    /// First element written.
    pub dst_offset: usize,
    /// Output strides.
    pub dst: Strides,
}
