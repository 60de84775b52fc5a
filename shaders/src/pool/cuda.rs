//! Pooling in CUDA.

use mindir_graph::task::{PoolKind, Scalar};

use super::{Params, Pool};
use crate::cuda::{self, layout};
use crate::{Access, Module, Unsupported};

pub(super) fn module(pool: &Pool) -> Result<Module, Unsupported> {
    let (number, start, join, finish) = match pool.kind {
        PoolKind::Max => {
            let lowest = if pool.dtype.is_float() { Scalar::Float(f64::NEG_INFINITY) } else { Scalar::Int(i64::MIN) };
            let start = cuda::constant(lowest.round_to(pool.dtype), cuda::number(pool.dtype)?);
            // What is no number stays the largest.
            (
                cuda::number(pool.dtype)?,
                start,
                "first || !(window != window || x <= window) ? x : window",
                "window".into(),
            )
        }
        PoolKind::Avg { count_pads } => {
            let count = if count_pads { "padded" } else { "inside" };
            let mean = format!("inside > 0 ? fn::Div(window, (Number){count}) : (Number)0");
            (cuda::sums(pool.dtype)?, "0".into(), "fn::Add(window, x)", mean)
        }
    };
    let element = cuda::stored(pool.dtype)?;
    let functions = format!(
        "const bool CHANNELS_LAST = {};\ntypedef {element} Element;\ntypedef {} Number;\n\n\
         inline Number number(Element x) {{ return {}; }}\n\
         inline Number start() {{ return {start}; }}\n\
         inline Number join(Number window, Number x, bool first) {{ return {join}; }}\n\
         inline Element finish(Number window, u32 inside, u32 padded) {{\n    Number y = {finish};\n    \
         return store<Element>({});\n}}\n",
        pool.channels_last,
        cuda::stored(number)?,
        cuda::cast("load(x)", number)?,
        cuda::cast("y", pool.dtype)?,
    );
    let params = layout!(Params: rows, cols, h, w, out_h, out_w, kernel, stride, dilation, pad, end, x_image, x_row, x_col,
        x_first, y_first);
    let parts = [include_str!("params.cu"), &params, cuda::LIBRARY, &functions, include_str!("pool.cu")];
    let bindings = [("x".to_string(), element, Access::Read), ("y".to_string(), element, Access::Write)];
    Ok(cuda::spread(&parts, &bindings, pool.width, "", "x, y"))
}
