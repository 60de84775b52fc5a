//! Recurrent layers in CUDA.

use mindir_graph::task::{Cell, Squash};

use super::{Params, Phase, Round, RoundParams, Step};
use crate::cuda::{self, Binding, layout};
use crate::{Access, Module, Unsupported};

pub(super) fn step(step: &Step) -> Result<Module, Unsupported> {
    let element = cuda::stored(step.dtype)?;
    let gates = step.gates();
    let declared =
        format!("{}typedef Number State;\nconst bool FIRST = {};\n", cuda::types(step.dtype, step.dtype)?, step.first);
    let params = layout!(Params: lines, hidden, rows, x_first, h_first, y_first);
    let mut bindings: Vec<Binding> =
        ["x", "r", "h"].map(|name| (name.to_string(), element, Access::Read)).into_iter().collect();
    bindings.push(("y".into(), "State", Access::Write));
    for (name, _, access) in step.buffers() {
        let kept = matches!(name, "reset" | "next_c");
        // What one phase writes the other one reads.
        let access = if kept { Access::Write } else { access };
        bindings.push((name.into(), if kept { "State" } else { element }, access));
    }
    let given = |name: &str| if bindings.iter().any(|b| b.0 == name) { name.to_string() } else { "nullptr".into() };
    let fields = ["bias", "reset", "c", "next_c"].map(given).join(", ");
    let mut body = format!(
        "    u32 line = group();\n    if (line >= params.lines) return;\n    \
         Layer l = {{params, x, r, h, y, {fields}}};\n    \
         u32 sequence = line / params.hidden;\n    u32 j = line % params.hidden;\n    Number sums[{}] = {{}};\n    \
         for (u32 k = threadIdx.x; k < params.hidden; k += 64) {{\n        u32 at = sequence * params.hidden + k;\n",
        gates.len()
    );
    for (i, (gate, reset)) in gates.iter().enumerate() {
        let state = if *reset { "l.reset[at]" } else { "l.state(at)" };
        body += &format!("        sums[{i}] += l.weight({gate}, j, k) * {state};\n");
    }
    body += "    }\n";
    for i in 0..gates.len() {
        body += &format!("    sums[{i}] = joined<Sum>(sums[{i}], cells);\n");
    }
    body += &format!("    if (threadIdx.x != 0) return;\n{}", finish(step));
    let parts = [cuda::LIBRARY, cuda::BLOCK, &declared, include_str!("step.cu"), &params];
    Ok(cuda::module(&parts, &bindings, 64, 16, &body))
}

fn finish(step: &Step) -> String {
    let input = |gate: usize| format!("l.input({gate}, sequence, j)");
    match (step.cell, step.phase) {
        (Cell::Plain(f), _) => {
            format!("    y[params.y_first + line] = {};\n", squash(f, &format!("{} + sums[0]", input(0))))
        }
        (Cell::Gru { squash: [f, _], inner: false }, Phase::Reset) => {
            let gate = squash(f, &format!("{} + sums[0]", input(1)));
            format!("    reset[line] = {gate} * l.state(line);\n")
        }
        (Cell::Gru { squash: [f, g], inner }, _) => {
            let update = squash(f, &format!("{} + sums[0]", input(0)));
            let candidate = if inner {
                let gate = squash(f, &format!("{} + sums[1]", input(1)));
                format!("{gate} * (sums[2] + load(bias[j]))")
            } else {
                "sums[1]".into()
            };
            let candidate = squash(g, &format!("{} + {candidate}", input(2)));
            format!(
                "    Number update = {update};\n    Number candidate = {candidate};\n    \
                 y[params.y_first + line] = candidate + update * (l.state(line) - candidate);\n"
            )
        }
        (Cell::Lstm { squash: [f, g, k], order }, _) => {
            let sum = |i: usize| format!("{} + sums[{}]", input(order[i]), order[i]);
            let before = if step.first { "load(c[line])" } else { "next_c[line]" };
            format!(
                "    Number kept = {} * {before};\n    Number after = kept + {} * {};\n    next_c[line] = after;\n    \
                 y[params.y_first + line] = {} * {};\n",
                squash(f, &sum(1)),
                squash(f, &sum(0)),
                squash(g, &sum(2)),
                squash(f, &sum(3)),
                squash(k, "after"),
            )
        }
    }
}

fn squash(f: Squash, x: &str) -> String {
    let f = match f {
        Squash::Sigmoid => "fn::Sigmoid",
        Squash::Tanh => "fn::Tanh",
        Squash::Relu => "fn::Relu",
        Squash::Softplus => "fn::Softplus",
        Squash::Softsign => "softsign",
    };
    format!("{f}({x})")
}

pub(super) fn round(round: &Round) -> Result<Module, Unsupported> {
    let declared = format!("typedef {} Element;\n", cuda::stored(round.dtype)?);
    let params = layout!(RoundParams: rows, cols);
    let bindings = [("kept".to_string(), "f32", Access::Read), ("y".to_string(), "Element", Access::Write)];
    let parts = [declared.as_str(), include_str!("round.cu"), &params];
    Ok(cuda::spread(&parts, &bindings, round.width, "", "kept, y"))
}
