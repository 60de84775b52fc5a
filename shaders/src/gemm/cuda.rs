//! Matrix products in CUDA.

use mindir_graph::DType;

use super::{End, Gemm, Params, Tile};
use crate::cuda::{self, Finish, layout};
use crate::{Access, Language, Module, Unsupported};

pub(super) fn module(gemm: &Gemm) -> Result<Module, Unsupported> {
    let finish = finish(gemm)?;
    let element = cuda::stored(gemm.dtype)?;
    let mut bindings = vec![("a".to_string(), element, Access::Read), ("b".to_string(), element, Access::Read)];
    bindings.extend(finish.bindings());
    let cores = match (gemm.dtype, gemm.tile) {
        (DType::F16 | DType::BF16, Tile::Rows64) => Some(include_str!("halves.cu").replace("HALF", element)),
        _ if gemm.is_tf32(Language::Cuda) => Some(include_str!("tf32.cu").into()),
        _ => None,
    };
    let (product, invocations, shared) = match cores {
        Some(cores) => (cores + include_str!("mma.cu"), 128, 2 * 64 * 20 * 4),
        None => {
            let number = cuda::number(gemm.dtype)?.size() as u32;
            let tiles = number * 16 * (gemm.tile.rows() as u32 + 1 + 65);
            (cuda::arithmetic(gemm.dtype)? + include_str!("tile.cu"), 64, tiles)
        }
    };
    let params = layout!(Params: m, n, k, batches, a_row, a_col, b_row, b_col, c_row, a_first, b_first, c_first, batch,
        a_batch, b_batch, c_batch, row_batch, firsts);
    let declared = format!(
        "{}const bool A_ALONG_K = {};\nconst bool B_ALONG_K = {};\nconst u32 REPEAT = {};\n",
        cuda::types(gemm.dtype, finish.out)?,
        gemm.a_along_k,
        gemm.b_along_k,
        gemm.tile.rows() / 8
    );
    let body = format!("    Finish finish = {};\n    product(params, a, b, y, finish);\n", finish.value());
    let parts = [include_str!("params.cu"), &params, cuda::LIBRARY, &declared, &finish.text, &product];
    Ok(cuda::module(&parts, &bindings, invocations, shared, &body))
}

fn finish(gemm: &Gemm) -> Result<Finish, Unsupported> {
    if gemm.end == End::Partial || gemm.adds {
        return Err(Unsupported("CUDA kernels do not part sums".into()));
    }
    let epilogue = if let End::Epilogue(e) = &gemm.end { Some(e) } else { None };
    Finish::new(epilogue, gemm.out)
}
