use mindir_graph::DType;
use mindir_graph::task::{Epilogue, EpilogueInput};
use mindir_shaders::epilogue::{self, OPERANDS};

use super::{Declined, declined, operand};
use crate::device::TaskView;

/// The epilogue of a result of `rows × cols`, whose operands start at `first`.
pub(super) fn epilogue(
    e: &Epilogue,
    view: TaskView<'_>,
    first: usize,
    [rows, cols]: [usize; 2],
) -> Result<epilogue::Epilogue, Declined> {
    let mut operands = Vec::new();
    for (i, &input) in (first..).zip(&e.inputs) {
        let dims = match input {
            EpilogueInput::Scalar => vec![1],
            EpilogueInput::Column => vec![cols],
            EpilogueInput::Row => vec![rows],
            EpilogueInput::Full => view.outs.first().map_or(Vec::new(), |f| f.shape.to_vec()),
        };
        let dtype = view.ins.get(i).map_or(DType::F32, |f| f.dtype);
        operand(view, i, dtype, &dims)?;
        operands.push((dtype, input));
    }
    if operands.len() > OPERANDS {
        return declined(format!("shaders take epilogues of {OPERANDS} operands, not {}", operands.len()));
    }
    Ok(epilogue::Epilogue { program: e.program.clone(), operands })
}
