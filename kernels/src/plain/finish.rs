use mindir_graph::task::{Epilogue, EpilogueInput, Instr, Program, Scalar};
use mindir_graph::{Fact, OpError, Tensor, ensure};

use super::number::scalars;

/// Checks that a program reads only what is there: earlier registers and the first `inputs` inputs.
pub(super) fn check(program: &Program, inputs: usize) -> Result<(), OpError> {
    for (i, &(instr, dtype)) in program.instrs.iter().enumerate() {
        let fits = match instr {
            Instr::Input(n) => n < inputs,
            Instr::Const(_) | Instr::Int(_) => true,
            Instr::Unary(_, x) | Instr::Cast(x) => x < i,
            Instr::Binary(_, a, b) => a < i && b < i,
            Instr::Select(c, a, b) => c < i && a < i && b < i,
        };
        ensure!(fits, "program: instruction {i} ({instr:?}) reads what is not there");
        ensure!(!dtype.is_complex(), "program: instruction {i} computes in {dtype}");
    }
    ensure!(!program.instrs.is_empty(), "program: no instructions");
    Ok(())
}

/// The end of a product or convolution: its epilogue with the epilogue's operands.
pub(super) struct Finish<'a> {
    epilogue: Option<&'a Epilogue>,
    operands: Vec<Vec<Scalar>>,
}

impl<'a> Finish<'a> {
    /// An epilogue over a result `out` of `rows × cols`, with the operands `ins`.
    pub(super) fn new(
        epilogue: Option<&'a Epilogue>,
        ins: &[Tensor],
        out: &Fact,
        rows: usize,
        cols: usize,
    ) -> Result<Finish<'a>, OpError> {
        let Some(e) = epilogue else { return Ok(Finish { epilogue, operands: Vec::new() }) };
        check(&e.program, e.inputs.len() + 1)?;
        ensure!(
            e.program.dtype() == Some(out.dtype),
            "epilogue: gives {:?}, expected {}",
            e.program.dtype(),
            out.dtype
        );
        ensure!(ins.len() >= e.inputs.len(), "epilogue: {} operands, expected {}", ins.len(), e.inputs.len());
        let mut operands = Vec::new();
        for (input, t) in e.inputs.iter().zip(ins) {
            let count = match input {
                EpilogueInput::Scalar => 1,
                EpilogueInput::Column => cols,
                EpilogueInput::Row => rows,
                EpilogueInput::Full => out.count(),
            };
            ensure!(t.count() == count, "epilogue: operand {} has {} elements, expected {count}", t.fact(), t.count());
            operands.push(scalars(t)?);
        }
        Ok(Finish { epilogue, operands })
    }

    /// The result for the sum `acc` of element `(row, col)`, stored at index `at`.
    pub(super) fn apply(&self, acc: Scalar, row: usize, col: usize, at: usize) -> Scalar {
        let Some(e) = self.epilogue else { return acc };
        let mut inputs = vec![acc];
        for (input, values) in e.inputs.iter().zip(&self.operands) {
            inputs.push(match input {
                EpilogueInput::Scalar => values[0],
                EpilogueInput::Column => values[col],
                EpilogueInput::Row => values[row],
                EpilogueInput::Full => values[at],
            });
        }
        e.program.eval(&inputs)
    }
}
