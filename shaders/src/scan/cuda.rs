//! Running sums and products in CUDA.

use mindir_graph::task::ScanKind;

use super::{Params, Scan};
use crate::cuda::{self, layout};
use crate::{Access, Lines, Module, Unsupported};

pub(super) fn module(scan: &Scan) -> Result<Module, Unsupported> {
    let number = cuda::number(scan.dtype)?.size() as u32;
    let (source, threads, shared) = match scan.lines {
        Lines::Group => (include_str!("group.cu"), 256, 256 * number),
        Lines::Single => (include_str!("single.cu"), 64, 0),
    };
    let (start, combine) = match scan.kind {
        ScanKind::Sum => (0, "fn::Add"),
        ScanKind::Prod => (1, "fn::Mul"),
    };
    let declared = format!(
        "{}{}const bool EXCLUSIVE = {};\nconst bool REVERSE = {};\n// What a total is before the first element.\n\
         const Number START = {start};\n\
         inline Number combine(Number a, Number b) {{ return {combine}(a, b); }}\n",
        cuda::types(scan.dtype, scan.dtype)?,
        cuda::arithmetic(scan.dtype)?,
        scan.exclusive,
        scan.reverse,
    );
    let params = layout!(Params: lines, len, inner, x_first, y_first);
    let parts = [cuda::LIBRARY, &declared, include_str!("params.cu"), &params, source];
    let bindings = [("x".to_string(), "Element", Access::Read), ("y".to_string(), "Element", Access::Write)];
    Ok(cuda::module(&parts, &bindings, threads, shared, "    scan(params, x, y);\n"))
}
