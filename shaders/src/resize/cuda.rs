//! Resizing in CUDA.

use mindir_graph::task::{Coordinates, ResizeMode};

use super::{Axis, Params, Resize};
use crate::copy::cuda_element;
use crate::cuda::{self, layout};
use crate::{Access, Module, Unsupported};

pub(super) fn module(resize: &Resize) -> Result<Module, Unsupported> {
    let rounds = resize.coordinates == Coordinates::AlignCorners;
    let mut declared = format!("const bool CHANNELS_LAST = {};\nconst bool ROUNDS = {rounds};\n", resize.channels_last);
    let source = match resize.mode {
        ResizeMode::Nearest => {
            declared += &cuda_element(resize.dtype)?;
            include_str!("nearest.cu")
        }
        ResizeMode::Bilinear if resize.dtype.is_float() => {
            declared += &cuda::types(resize.dtype, resize.dtype)?;
            include_str!("bilinear.cu")
        }
        ResizeMode::Bilinear => return Err(Unsupported(format!("there is no bilinear resizing of {}", resize.dtype))),
    };
    let axis = layout!(Axis: size, out, step, start, times, parts, shift, scale, offset).replace("Params", "Axis");
    let params = layout!(Params: rows, cols, x_first, y_first, x_image, x_row, x_col, down, along);
    let bindings = [("x".to_string(), "Element", Access::Read), ("y".to_string(), "Element", Access::Write)];
    let parts = [include_str!("params.cu"), &axis, &params, &declared, source, include_str!("resize.cu")];
    Ok(cuda::spread(&parts, &bindings, resize.width, "", "x, y"))
}
