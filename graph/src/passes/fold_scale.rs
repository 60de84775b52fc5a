use std::collections::HashSet;

use super::{Aims, Notes};
use crate::task::{Binary, EpilogueInput, Instr, Program, Reg, Registers, Source, Task, TaskGraph, TaskNode};
use crate::{DType, Fact};

/// Magnitudes of a scale that can be folded.
const MODERATE: std::ops::RangeInclusive<f32> = 1e-12..=1e12;

/// Moves a multiplication by a known per-channel vector at the start of a convolution's epilogue into its weights.
///
/// A sum `Σ x·w`, rounded and then multiplied by `s`, becomes a sum whose weights `w·s` may each be rounded and which is
/// rounded itself once less. As long as no number leaves the range of normal `f32`, it changes by at most
/// `2⁻²³ · |s| · Σ |x·w|` beyond what another order of the sum changes. Scales that are infinite, NaN or far from 1, where
/// products with weights could leave that range, stay in the epilogue. So do those of 16-bit floats, whose sums are rounded
/// before they are scaled.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    let mut nodes = std::mem::take(&mut graph.nodes);
    for node in &mut nodes {
        match found(graph, node) {
            None => {}
            Some(Ok(scale)) => {
                fold(graph, node, scale);
                notes.applied(&node.path, "scale folded into the weights");
            }
            Some(Err(why)) => notes.refused(&node.path, why),
        }
    }
    graph.nodes = nodes;
}

/// A multiplication that can be folded.
struct Scale {
    /// The instruction of the epilogue that multiplies.
    mul: Reg,
    /// The program's input that it multiplies with.
    input: usize,
}

/// `None` if the task has nothing to fold.
fn found(graph: &TaskGraph, node: &TaskNode) -> Option<Result<Scale, &'static str>> {
    let Task::Conv(conv) = &node.task else { return None };
    let epilogue = conv.epilogue.as_ref().filter(|_| !conv.scaled && conv.dtype == DType::F32)?;
    let instrs = &epilogue.program.instrs;
    let regs = |is: &dyn Fn(Instr) -> bool| -> Vec<Reg> {
        instrs.iter().enumerate().filter(|(_, (instr, _))| is(*instr)).map(|(reg, _)| reg).collect()
    };
    let readers = |of: &[Reg]| regs(&|instr| instr.operands().any(|r| of.contains(&r)));
    let acc = regs(&|instr| instr == Instr::Input(0));
    let &[mul] = readers(&acc).as_slice() else { return None };
    let (Instr::Binary(Binary::Mul, a, b), _) = *instrs.get(mul)? else { return None };
    let other = if acc.contains(&a) { b } else { a };
    let (Instr::Input(input), _) = *instrs.get(other)? else { return None };
    if *epilogue.inputs.get(input.checked_sub(1)?)? != EpilogueInput::Column {
        return None;
    }
    let (weights, scale) = (*node.ins.get(1)?, *node.ins.get(1 + input)?);
    if regs(&|instr| instr == Instr::Input(input)).len() > 1 || readers(&[other]) != [mul] {
        return Some(Err("the scale is read twice"));
    }
    let (true, Some(known)) = (graph.is_constant(weights), graph.known(scale)) else {
        return Some(Err("weights or scale are not known before the run"));
    };
    if !known.view::<f32>().is_ok_and(|s| s.iter().all(|s| *s == 0.0 || MODERATE.contains(&s.abs()))) {
        return Some(Err("the scale is not near 1"));
    }
    Some(Ok(Scale { mul, input }))
}

fn fold(graph: &mut TaskGraph, node: &mut TaskNode, Scale { mul, input }: Scale) {
    let Task::Conv(conv) = &mut node.task else { return };
    let Some(epilogue) = &mut conv.epilogue else { return };
    // The product is the scaled accumulator itself now; the read of the scale becomes a second read of it that nothing uses.
    for (reg, (instr, _)) in epilogue.program.instrs.iter_mut().enumerate() {
        match instr {
            _ if reg == mul => *instr = Instr::Input(0),
            Instr::Input(i) if *i == input => *i = 0,
            Instr::Input(i) if *i > input => *i -= 1,
            _ => {}
        }
    }
    epilogue.program = compact(&epilogue.program);
    epilogue.inputs.remove(input - 1);
    conv.scaled = true;
    let fact = Fact::new(conv.dtype, &[conv.c_out]);
    if epilogue.inputs.is_empty() && epilogue.program.instrs.len() == 1 {
        conv.epilogue = None;
    }
    let scale = graph.root(node.ins.remove(1 + input));
    node.ins.insert(2, graph.value(fact, Source::Alias(scale)));
}

/// The program without instructions that nothing reads.
fn compact(program: &Program) -> Program {
    let mut read: HashSet<Reg> = program.instrs.len().checked_sub(1).into_iter().collect();
    for (reg, (instr, _)) in program.instrs.iter().enumerate().rev() {
        if read.contains(&reg) {
            read.extend(instr.operands());
        }
    }
    let mut regs = Registers::new(program);
    let mut out = Program::new();
    for (reg, &(instr, dtype)) in program.instrs.iter().enumerate() {
        regs.push(match read.contains(&reg) {
            true => out.push(instr.reading(|r| regs[r]), dtype),
            false => 0,
        });
    }
    out
}
