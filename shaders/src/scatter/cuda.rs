//! Scattering in CUDA.

use mindir_graph::task::ScatterKind;

use super::{Apply, Link, LinkParams, Params, Sort, SortParams};
use crate::cuda::{self, layout};
use crate::{Access, Module, Unsupported};

pub(super) fn link(link: &Link) -> Result<Module, Unsupported> {
    let index = cuda::stored(link.index)?;
    let declared = format!("const bool REPLACES = {};\ntypedef {index} Index;\n", link.kind == ScatterKind::Replace);
    let params = layout!(LinkParams: rows, cols, rank, axes);
    let bindings = [
        ("indices".to_string(), index, Access::Read),
        ("lists".to_string(), "u32", Access::Write),
        ("nexts".to_string(), "u32", Access::Write),
        ("status".to_string(), "Status", Access::Write),
    ];
    let parts = [cuda::INDEX, &declared, include_str!("link.cu"), &params];
    Ok(cuda::spread(&parts, &bindings, link.width, "", "indices, lists, nexts, status"))
}

pub(super) fn sort(sort: &Sort) -> Module {
    let params = layout!(SortParams: rows, cols);
    let bindings = ["lists", "nexts"].map(|name| (name.to_string(), "u32", Access::Write));
    cuda::spread(&[include_str!("sort.cu"), &params], &bindings, sort.width, "", "lists, nexts")
}

pub(super) fn apply(apply: &Apply) -> Result<Module, Unsupported> {
    if !matches!(apply.kind, ScatterKind::Replace | ScatterKind::Add) {
        return Err(super::combining(apply.kind));
    }
    let replaces = apply.kind == ScatterKind::Replace;
    let element = cuda::stored(apply.dtype)?;
    let declared = format!(
        "const bool REPLACES = {replaces};\n{}{}",
        cuda::types(apply.dtype, apply.dtype)?,
        cuda::arithmetic(apply.dtype)?,
    );
    let params = layout!(Params: rows, cols, x_first, y_first, first);
    let mut bindings = vec![
        ("x".to_string(), element, Access::Read),
        ("u".to_string(), element, Access::Read),
        ("y".to_string(), element, Access::Write),
        ("lists".to_string(), "u32", Access::Read),
    ];
    if !replaces {
        bindings.push(("nexts".to_string(), "u32", Access::Read));
    }
    let call = if replaces { "x, u, y, lists, nullptr" } else { "x, u, y, lists, nexts" };
    let parts = [cuda::LIBRARY, &declared, include_str!("apply.cu"), &params];
    Ok(cuda::spread(&parts, &bindings, apply.width, "", call))
}
