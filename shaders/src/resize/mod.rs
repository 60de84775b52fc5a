//! Two-dimensional resizing.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::{Coordinates, ResizeMode};

use crate::copy::element;
use crate::module::storage;
use crate::number::{arithmetic, number};
use crate::program::library;
use crate::{Access, Module, Shader, Unsupported, Word, spread};

/// How positions of the result map to positions of the operand along a dimension.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Axis {
    /// Length of the operand.
    pub size: u32,
    /// Length of the result.
    pub out: u32,
    /// Position `i` lies exactly at `(i · step + start) · times / parts − shift / parts`, but not below 0.
    pub step: u32,
    /// See `step`.
    pub start: u32,
    /// See `step`.
    pub times: u32,
    /// See `step`; not 0.
    pub parts: u32,
    /// See `step`; at most `parts`.
    pub shift: u32,
    /// Position `i` as models expect it that were trained with `f32`: `(i + offset) · scale`.
    pub scale: f32,
    /// See `scale`.
    pub offset: f32,
    /// Unused.
    pub gap: [u32; 3],
}

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Planes, or pixels with channels last.
    pub rows: u32,
    /// Pixels, or channels with channels last.
    pub cols: u32,
    /// First element of the operand.
    pub x_first: u32,
    /// First element of the result.
    pub y_first: u32,
    /// Elements between planes of the operand, or images with channels last.
    pub x_image: u32,
    /// Elements between rows of the operand.
    pub x_row: u32,
    /// Elements between columns of the operand.
    pub x_col: u32,
    /// Unused.
    pub gap: u32,
    /// Rows.
    pub down: Axis,
    /// Columns.
    pub along: Axis,
}

/// A variant of the shader; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Interpolation.
    pub mode: ResizeMode,
    /// Coordinate mapping.
    pub coordinates: Coordinates,
    /// Element type; floats, to interpolate.
    pub dtype: DType,
    /// Whether the channels of a pixel are neighbours.
    pub channels_last: bool,
    /// Columns of a workgroup.
    pub width: u32,
}

impl Shader for Resize {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let word = Word::of(self.dtype)?;
        let mut text =
            format!("const CHANNELS_LAST: bool = {};\n\n{}", self.channels_last, include_str!("resize.wgsl"));
        let stored = match self.mode {
            ResizeMode::Nearest => {
                let rounds = self.coordinates == Coordinates::AlignCorners;
                text += &format!("\nconst ROUNDS: bool = {rounds};\n{}", element(self.dtype)?);
                text += include_str!("nearest.wgsl");
                "Element"
            }
            ResizeMode::Bilinear if word == Word::F32 => {
                text += &format!("\n{}", arithmetic(self.dtype, number(self.dtype)?)?);
                text += include_str!("bilinear.wgsl");
                "Stored"
            }
            ResizeMode::Bilinear => {
                return Err(Unsupported(format!("there is no bilinear resizing of {}", self.dtype)));
            }
        };
        text += &format!("\n{}", storage(1, "x", stored, Access::Read));
        text += &format!("{}\n", storage(2, "y", stored, Access::Write));
        text += &spread::wgsl(self.width);
        text += &library(&text);
        let bindings = vec![Access::Read, Access::Write];
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: spread::INVOCATIONS, shared: 0 })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::module(self)
    }
}
