//! Attention in CUDA.

use mindir_graph::DType;

use super::{Attention, Params, Rows};
use crate::cuda::{self, layout};
use crate::{Access, Module, Unsupported};

pub(super) fn module(attention: &Attention) -> Result<Module, Unsupported> {
    let read = |name: &str, element| (name.to_string(), element, Access::Read);
    let mut bindings = vec![read("q", "f32"), read("keys", "f32")];
    for (i, &dtype) in attention.others.iter().enumerate() {
        bindings.push(read(&format!("m{i}"), cuda::stored(dtype)?));
    }
    bindings.extend([read("v", "f32"), ("y".to_string(), "f32", Access::Write)]);
    let params = layout!(Params: m, n, k, cols, batches, q_row, q_col, k_row, k_col, v_row, v_col, y_row, q_first, k_first,
        v_first, y_first, batch, q_batch, k_batch, v_batch, y_batch, firsts, rows, columns, steps);
    let declared = format!(
        "const u32 REPEAT = {};\nconst u32 COLUMNS = {};\nconst bool Q_ALONG = {};\nconst bool K_ALONG = {};\nconst bool V_ALONG = {};\n",
        attention.rows.repeat(),
        attention.columns.count(),
        attention.q_along,
        attention.k_along,
        attention.v_along
    );
    let others: String = (0..attention.others.len()).map(|i| format!(", m{i}")).collect();
    let body = format!("    Scores scores = {{params{others}}};\n    attention(params, q, keys, v, y, scores);\n");
    let program = cuda::function(&attention.program, &attention.inputs())?;
    let scores = scores(&attention.others)?;
    let one = attention.rows == Rows::One;
    let text = if one { include_str!("single.cu") } else { include_str!("attention.cu") };
    let parts = [include_str!("params.cu"), &params, cuda::LIBRARY, cuda::BLOCK, &declared, &program, &scores, text];
    let words = if one { 64 + 2 * 256 } else { attention.tile() + attention.rows.count() * 33 };
    Ok(cuda::module(&parts, &bindings, attention.rows.invocations(), 4 * words as u32, &body))
}

/// The type `Scores`: `of(sum, row, key)` is what becomes of a product in the batch that was given to `open`.
fn scores(others: &[DType]) -> Result<String, Unsupported> {
    let (mut members, mut open, mut values) = (String::new(), String::new(), vec!["sum".to_string()]);
    for (i, &dtype) in others.iter().enumerate() {
        members += &format!("    const {}* m{i};\n", cuda::stored(dtype)?);
        open += &format!("        start[{i}] = params.firsts[{i}] + index.along(params.steps[{i}]);\n");
        values.push(format!("load(m{i}[start[{i}] + (u64)row * params.rows[{i}] + (u64)key * params.columns[{i}]])"));
    }
    if !others.is_empty() {
        members += &format!("    i64 start[{}];\n", others.len());
    }
    Ok(format!(
        "struct Scores {{\n    const Params& params;\n{members}\n    void open(const Index& index) {{\n{open}        (void)index;\n    }}\n    \
         f32 of(f32 sum, u32 row, u32 key) const {{ return program({}); }}\n}};\n",
        values.join(", ")
    ))
}
