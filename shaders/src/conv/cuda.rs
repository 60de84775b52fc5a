//! Convolutions in CUDA.

use mindir_graph::DType;

use super::{Direct, DirectParams, Params, Tile};
use crate::cuda::{self, Binding, Finish, layout};
use crate::epilogue::Epilogue;
use crate::{Access, Module, Unsupported};

pub(super) fn tile(conv: &Tile) -> Result<Module, Unsupported> {
    let ends = Ends::new([conv.dtype, conv.out], conv.scaled, conv.epilogue.as_ref(), conv.channels_last)?;
    let rows = conv.channels.count() as u32;
    let repeat = format!("const u32 REPEAT = {};\n", rows / 8);
    let params = layout!(Params: pixels, size, group, depth, taps, groups, h, w, out_w, kernel, stride, dilation, pad, x_image,
        x_channel, x_row, x_col, y_image, y_channel, y_pixel, x_first, y_first, firsts);
    let parts = [
        include_str!("params.cu"),
        &params,
        cuda::LIBRARY,
        &ends.declared,
        &repeat,
        &ends.finish.text,
        include_str!("tile.cu"),
    ];
    let shared = cuda::number(conv.dtype)?.size() as u32 * 16 * (rows + 1 + 65) + 16 * (64 + 16);
    let body = format!("{}    convolve(params, x, w, {}, y, finish);\n", ends.value(), ends.scale());
    Ok(cuda::module(&parts, &ends.bindings, 64, shared, &body))
}

pub(super) fn direct(conv: &Direct) -> Result<Module, Unsupported> {
    let ends = Ends::new([conv.dtype, conv.out], conv.scaled, conv.epilogue.as_ref(), conv.channels_last)?;
    let params = layout!(DirectParams: rows, cols, channels, group, depth, h, w, out_h, out_w, x_first, kernel, stride, dilation,
        pad, x_image, x_channel, x_row, x_col, y_first, firsts);
    let parts = [
        include_str!("direct_params.cu"),
        &params,
        cuda::LIBRARY,
        &ends.declared,
        &ends.finish.text,
        include_str!("direct.cu"),
    ];
    let call = format!("x, w, {}, y, finish", ends.scale());
    Ok(cuda::spread(&parts, &ends.bindings, conv.width, &ends.value(), &call))
}

/// What both kinds declare and bind.
struct Ends {
    declared: String,
    finish: Finish,
    bindings: Vec<Binding>,
    scaled: bool,
}

impl Ends {
    fn new(
        [dtype, out]: [DType; 2],
        scaled: bool,
        epilogue: Option<&Epilogue>,
        channels_last: bool,
    ) -> Result<Ends, Unsupported> {
        let element = cuda::stored(dtype)?;
        let finish = Finish::new(epilogue, out)?;
        let factor = cuda::stored(out)?;
        let names = [("x", element), ("w", element), ("scale", factor)].into_iter().take(if scaled { 3 } else { 2 });
        let mut bindings: Vec<Binding> =
            names.map(|(name, element)| (name.to_string(), element, Access::Read)).collect();
        bindings.extend(finish.bindings());
        let declared = format!(
            "{}{}typedef {factor} Scale;\nconst bool CHANNELS_LAST = {channels_last};\nconst bool SCALED = {scaled};\n",
            cuda::types(dtype, finish.out)?,
            cuda::arithmetic(dtype)?,
        );
        Ok(Ends { declared, finish, bindings, scaled })
    }

    fn scale(&self) -> &'static str {
        if self.scaled { "scale" } else { "nullptr" }
    }

    fn value(&self) -> String {
        format!("    Finish finish = {};\n", self.finish.value())
    }
}
