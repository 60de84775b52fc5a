use super::Notes;
use crate::task::{Binary, EpilogueInput, Instr, Source, Task, TaskGraph};
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
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes) {
    for at in 0..graph.nodes.len() {
        let path = graph.nodes[at].path.clone();
        match fold(graph, at) {
            None => {}
            Some(Ok(())) => notes.applied(&path, "scale folded into the weights"),
            Some(Err(why)) => notes.refused(&path, why),
        }
    }
}

/// `None` if the task has nothing to fold.
fn fold(graph: &mut TaskGraph, at: usize) -> Option<Result<(), &'static str>> {
    let node = &graph.nodes[at];
    let Task::Conv(conv) = &node.task else { return None };
    let epilogue = conv.epilogue.as_ref().filter(|_| !conv.scaled && conv.dtype == DType::F32)?;
    let instrs = &epilogue.program.instrs;
    let acc: Vec<usize> = (0..instrs.len()).filter(|&i| instrs[i].0 == Instr::Input(0)).collect();
    let readers = |regs: &[usize]| -> Vec<usize> {
        (0..instrs.len()).filter(|&i| instrs[i].0.operands().any(|r| regs.contains(&r))).collect()
    };
    let &[mul] = readers(&acc).as_slice() else { return None };
    let Instr::Binary(Binary::Mul, a, b) = instrs[mul].0 else { return None };
    let other = if acc.contains(&a) { b } else { a };
    let Instr::Input(input) = instrs[other].0 else { return None };
    if input == 0 || epilogue.inputs[input - 1] != EpilogueInput::Column {
        return None;
    }
    let scale = node.ins[2 + input - 1];
    let reads = instrs.iter().filter(|(i, _)| *i == Instr::Input(input)).count();
    if reads > 1 || readers(&[other]) != [mul] {
        return Some(Err("the scale is read twice"));
    }
    let (true, Some(known)) = (graph.is_constant(node.ins[1]), graph.known(scale)) else {
        return Some(Err("weights or scale are not known before the run"));
    };
    if !known.view::<f32>().is_ok_and(|s| s.iter().all(|s| *s == 0.0 || MODERATE.contains(&s.abs()))) {
        return Some(Err("the scale is not near 1"));
    }
    Some(apply(graph, at, mul, input))
}

fn apply(graph: &mut TaskGraph, at: usize, mul: usize, input: usize) -> Result<(), &'static str> {
    let scale = graph.nodes[at].ins[1 + input];
    let root = graph.root(scale);
    let Task::Conv(conv) = &mut graph.nodes[at].task else { return Err("not a convolution") };
    let epilogue = conv.epilogue.as_mut().ok_or("no epilogue")?;
    // The product is the scaled accumulator itself now; the read of the scale becomes a second read of it that nothing uses.
    epilogue.program.instrs[mul].0 = Instr::Input(0);
    for (instr, _) in &mut epilogue.program.instrs {
        match instr {
            Instr::Input(i) if *i == input => *i = 0,
            Instr::Input(i) if *i > input => *i -= 1,
            _ => {}
        }
    }
    epilogue.program = compact(&epilogue.program);
    epilogue.inputs.remove(input - 1);
    conv.scaled = true;
    let (c_out, dtype) = (conv.c_out, conv.dtype);
    if epilogue.inputs.is_empty() && epilogue.program.instrs.len() == 1 {
        conv.epilogue = None;
    }
    let flat = graph.value(Fact::new(dtype, &[c_out]), Source::Alias(root));
    graph.nodes[at].ins.remove(1 + input);
    graph.nodes[at].ins.insert(2, flat);
    Ok(())
}

/// The program without instructions that nothing reads.
fn compact(program: &crate::task::Program) -> crate::task::Program {
    let n = program.instrs.len();
    let mut live = vec![false; n];
    if let Some(last) = live.last_mut() {
        *last = true;
    }
    for i in (0..n).rev() {
        if live[i] {
            program.instrs[i].0.operands().for_each(|r| live[r] = true);
        }
    }
    let mut reg = vec![0; n];
    let mut out = crate::task::Program::new();
    for (i, &(instr, dtype)) in program.instrs.iter().enumerate().filter(|(i, _)| live[*i]) {
        let instr = match instr {
            Instr::Unary(f, x) => Instr::Unary(f, reg[x]),
            Instr::Cast(x) => Instr::Cast(reg[x]),
            Instr::Binary(f, a, b) => Instr::Binary(f, reg[a], reg[b]),
            Instr::Select(c, a, b) => Instr::Select(reg[c], reg[a], reg[b]),
            other => other,
        };
        reg[i] = out.push(instr, dtype);
    }
    out
}
