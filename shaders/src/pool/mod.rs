//! Two-dimensional maximum and average pooling.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::{Binary, PoolKind, Scalar};

use crate::number::{arithmetic, number, sums};
use crate::program::{binary, constant, library};
use crate::{Access, Module, Shader, Unsupported, Word, spread};

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Planes, or pixels with channels last.
    pub rows: u32,
    /// Pixels, or channels with channels last.
    pub cols: u32,
    /// Input rows.
    pub h: u32,
    /// Input columns.
    pub w: u32,
    /// Output rows.
    pub out_h: u32,
    /// Output columns.
    pub out_w: u32,
    /// Window rows and columns.
    pub kernel: [u32; 2],
    /// Steps between windows, rows and columns.
    pub stride: [u32; 2],
    /// Steps between the elements of a window, rows and columns.
    pub dilation: [u32; 2],
    /// Padding before the first row and column.
    pub pad: [u32; 2],
    /// Rows and columns with the padding on both sides.
    pub end: [u32; 2],
    /// Elements between planes of the input, or images with channels last.
    pub x_image: u32,
    /// Elements between rows of the input.
    pub x_row: u32,
    /// Elements between columns of the input.
    pub x_col: u32,
    /// First element of the input.
    pub x_first: u32,
    /// First element of the output.
    pub y_first: u32,
}

/// A variant of the shader; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Maximum or mean.
    pub kind: PoolKind,
    /// Element type.
    pub dtype: DType,
    /// Whether the channels of a pixel are neighbours.
    pub channels_last: bool,
    /// Columns of a workgroup.
    pub width: u32,
}

impl Shader for Pool {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut text = format!("const CHANNELS_LAST: bool = {};\n\n", self.channels_last);
        text += &match self.kind {
            PoolKind::Max => self.largest()?,
            PoolKind::Avg { count_pads } => self.mean(count_pads)?,
        };
        text += include_str!("pool.wgsl");
        text += &spread::wgsl(self.width);
        text += &library(&text);
        let bindings = vec![Access::Read, Access::Write];
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: spread::INVOCATIONS, shared: 0 })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::module(self)
    }
}

impl Pool {
    fn largest(&self) -> Result<String, Unsupported> {
        let number = number(self.dtype)?;
        let lowest = if self.dtype.is_float() { Scalar::Float(f64::NEG_INFINITY) } else { Scalar::Int(i64::MIN) };
        let start = constant(lowest.round_to(self.dtype), Word::of(number)?);
        let larger = binary(Binary::Gt, "x", "window", number)?;
        let above = match number {
            DType::F32 => format!("!is_nan(window) && (is_nan(x) || {larger})"),
            _ => larger,
        };
        Ok(functions(
            arithmetic(self.dtype, number)?,
            &start,
            &format!("select(window, x, first || ({above}))"),
            "window",
        ))
    }

    fn mean(&self, count_pads: bool) -> Result<String, Unsupported> {
        let number = sums(self.dtype)?;
        let count = if count_pads { "padded" } else { "inside" };
        let divisor = if number == DType::F32 { format!("f32({count})") } else { format!("vec2<u32>({count}, 0u)") };
        let mean = format!("select(zero(), {}, inside > 0u)", binary(Binary::Div, "window", &divisor, number)?);
        Ok(functions(arithmetic(self.dtype, number)?, "zero()", "plus(window, x)", &mean))
    }
}

/// What a window starts with, what it is with an element more, and its result.
fn functions(arithmetic: String, start: &str, join: &str, finish: &str) -> String {
    format!(
        "{arithmetic}fn start() -> Number {{\n    return {start};\n}}\n\n\
         fn join(window: Number, x: Number, first: bool) -> Number {{\n    return {join};\n}}\n\n\
         fn finish(window: Number, inside: u32, padded: u32) -> Number {{\n    return {finish};\n}}\n\n"
    )
}
