//! Two-dimensional convolutions with groups and an epilogue.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::Binary;

use crate::epilogue::{Epilogue, OPERANDS};
use crate::module::storage;
use crate::number::{arithmetic, number};
use crate::program::{binary, cast, library};
use crate::word::packed;
use crate::{Access, Module, Shader, Unsupported, Word, spread, tile, word};

/// Pixels of a tile.
pub const PIXELS: usize = 64;

/// Channels of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// 8 channels.
    Eight,
    /// 16 channels.
    Sixteen,
    /// 32 channels.
    ThirtyTwo,
    /// 64 channels.
    SixtyFour,
}

impl Channels {
    /// From the smallest number to the largest.
    pub const ALL: [Channels; 4] = [Channels::Eight, Channels::Sixteen, Channels::ThirtyTwo, Channels::SixtyFour];

    /// Number of channels.
    pub fn count(self) -> usize {
        match self {
            Channels::Eight => 8,
            Channels::Sixteen => 16,
            Channels::ThirtyTwo => 32,
            Channels::SixtyFour => 64,
        }
    }
}

/// Parameters of [`Tile`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Output pixels of all images.
    pub pixels: u32,
    /// Output pixels of an image.
    pub size: u32,
    /// Output channels of a group.
    pub group: u32,
    /// Input channels of a group.
    pub depth: u32,
    /// Elements of a kernel.
    pub taps: u32,
    /// Number of groups.
    pub groups: u32,
    /// Input rows.
    pub h: u32,
    /// Input columns.
    pub w: u32,
    /// Output columns.
    pub out_w: u32,
    /// Kernel columns.
    pub kernel: u32,
    /// Steps between windows, rows and columns.
    pub stride: [u32; 2],
    /// Steps between taps, rows and columns.
    pub dilation: [u32; 2],
    /// Padding before the first row and column.
    pub pad: [u32; 2],
    /// Elements between images of the input.
    pub x_image: u32,
    /// Elements between channels of the input.
    pub x_channel: u32,
    /// Elements between rows of the input.
    pub x_row: u32,
    /// Elements between columns of the input.
    pub x_col: u32,
    /// Elements between images of the output.
    pub y_image: u32,
    /// Elements between channels of the output.
    pub y_channel: u32,
    /// Elements between pixels of the output.
    pub y_pixel: u32,
    /// First element of the input.
    pub x_first: u32,
    /// First element of the output.
    pub y_first: u32,
    /// Unused.
    pub gap: [u32; 3],
    /// First elements of the epilogue's operands.
    pub firsts: [u32; OPERANDS],
}

/// Parameters of [`Direct`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct DirectParams {
    /// Planes, or pixels with channels last.
    pub rows: u32,
    /// Pixels, or channels with channels last.
    pub cols: u32,
    /// Output channels of all groups.
    pub channels: u32,
    /// Output channels of a group.
    pub group: u32,
    /// Input channels of a group.
    pub depth: u32,
    /// Input rows.
    pub h: u32,
    /// Input columns.
    pub w: u32,
    /// Output rows.
    pub out_h: u32,
    /// Output columns.
    pub out_w: u32,
    /// First element of the input.
    pub x_first: u32,
    /// Kernel rows and columns.
    pub kernel: [u32; 2],
    /// Steps between windows, rows and columns.
    pub stride: [u32; 2],
    /// Steps between taps, rows and columns.
    pub dilation: [u32; 2],
    /// Padding before the first row and column.
    pub pad: [u32; 2],
    /// Elements between images of the input.
    pub x_image: u32,
    /// Elements between channels of the input.
    pub x_channel: u32,
    /// Elements between rows of the input.
    pub x_row: u32,
    /// Elements between columns of the input.
    pub x_col: u32,
    /// First element of the output.
    pub y_first: u32,
    /// Unused.
    pub gap: u32,
    /// First elements of the epilogue's operands.
    pub firsts: [u32; OPERANDS],
}

/// An implicit matrix product in tiles, of elements of one word; binds `x`, `w`, the scale, the epilogue's operands, then the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// Element type of `x` and `w`.
    pub dtype: DType,
    /// Element type of the scale, and of a scaled sum before the epilogue.
    pub out: DType,
    /// Channels of a tile.
    pub channels: Channels,
    /// Whether words of `w` hold two elements each, which are floats of 16 bits; in WGSL only.
    pub packed: bool,
    /// Whether the channels of a pixel are neighbours.
    pub channels_last: bool,
    /// Whether there is a scale for each channel.
    pub scaled: bool,
    /// Applied to every sum.
    pub epilogue: Option<Epilogue>,
}

/// One invocation for each element of the result; binds what [`Tile`] binds.
#[derive(Clone, Debug, PartialEq)]
pub struct Direct {
    /// Element type of `x` and `w`.
    pub dtype: DType,
    /// Element type of the scale, and of a scaled sum before the epilogue.
    pub out: DType,
    /// Columns of a workgroup.
    pub width: u32,
    /// Whether words of `w` hold two elements each, which are floats of 16 bits; in WGSL only.
    pub packed: bool,
    /// Whether the channels of a pixel are neighbours.
    pub channels_last: bool,
    /// Whether there is a scale for each channel.
    pub scaled: bool,
    /// Applied to every sum.
    pub epilogue: Option<Epilogue>,
}

impl Shader for Tile {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        if Word::of(self.dtype)?.is_wide() {
            return Err(Unsupported(format!("there are no tiles of {}", self.dtype)));
        }
        let repeat = self.channels.count() / 8;
        let mut text = format!("const CHANNELS_LAST: bool = {};\n\n", self.channels_last);
        text += &arithmetic(self.dtype, number(self.dtype)?)?;
        text += &weights(self.dtype, self.packed);
        text += &tile::declarations(repeat);
        text += &tile::unrolled(include_str!("tile.wgsl"), repeat);
        let bindings = ends([self.dtype, self.out], self.scaled, self.epilogue.as_ref(), &mut text)?;
        let shared = tile::shared(repeat) + 16 * (64 + 16);
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: 64, shared })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::tile(self)
    }
}

impl Shader for Direct {
    type Params = DirectParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut text = format!("const CHANNELS_LAST: bool = {};\n\n", self.channels_last);
        text += &arithmetic(self.dtype, number(self.dtype)?)?;
        text += &weights(self.dtype, self.packed);
        text += include_str!("direct.wgsl");
        text += &spread::wgsl(self.width);
        let bindings = ends([self.dtype, self.out], self.scaled, self.epilogue.as_ref(), &mut text)?;
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: spread::INVOCATIONS, shared: 0 })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::direct(self)
    }
}

/// The weights, with the function that gives their elements.
fn weights(dtype: DType, packs: bool) -> String {
    let (stored, element) = match packs {
        true => ("u32", packed(dtype, "w", "at")),
        false => ("Stored", "load(w[at])".to_string()),
    };
    let declared = storage(2, "w", stored, Access::Read);
    format!("{declared}\nfn weight(at: u32) -> Number {{\n    return {element};\n}}\n\n")
}

/// Appends the functions `scaled` and `finish`, and gives all bindings.
fn ends(
    [dtype, out]: [DType; 2],
    scaled: bool,
    epilogue: Option<&Epilogue>,
    text: &mut String,
) -> Result<Vec<Access>, Unsupported> {
    let mut bindings = vec![Access::Read; if scaled { 3 } else { 2 }];
    let number = number(dtype)?;
    let mut product = "sum".to_string();
    *text += "\n";
    if scaled {
        *text += &storage(3, "scale", word::stored(out)?, Access::Read);
        let factor = cast(&word::load(out, "scale[channel]"), out, number)?;
        product = binary(Binary::Mul, "sum", &factor, number)?;
    }
    let (mut value, mut result) = (cast("sum", number, out)?, out);
    if let Some(e) = epilogue {
        *text += &e.declarations(bindings.len() + 1)?;
        *text += &format!("\n{}", e.function(out)?);
        (value, result) = e.value(number, out)?;
        bindings.resize(bindings.len() + e.operands.len(), Access::Read);
    }
    bindings.push(Access::Write);
    let stored = word::stored(result)?;
    *text += &storage(bindings.len(), "y", stored, Access::Write);
    *text += &format!("\nfn scaled(sum: Number, channel: u32) -> Number {{\n    return {product};\n}}\n\n");
    *text += &format!("fn finish(sum: Number, row: u32, col: u32, place: u32) -> {stored} {{\n");
    *text += &format!("    return {};\n}}\n", word::store(result, &value));
    *text += &library(text);
    Ok(bindings)
}
