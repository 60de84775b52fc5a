//! Recurrent layers, step by step.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::{Cell, Squash, Unary};

use crate::module::storage;
use crate::program::{fitting, library, unary};
use crate::{Access, Module, Shader, Unsupported, spread, word};

/// Parameters of [`Step`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Sequences times length of the state.
    pub lines: u32,
    /// Length of the state.
    pub hidden: u32,
    /// Length of the state times number of gates.
    pub rows: u32,
    /// First element of `x` in this step.
    pub x_first: u32,
    /// First element of the result that the step before has written.
    pub h_first: u32,
    /// First element of the result that this step writes.
    pub y_first: u32,
}

/// Parameters of [`Round`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct RoundParams {
    /// 1.
    pub rows: u32,
    /// Number of elements.
    pub cols: u32,
}

/// What a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The state after it.
    All,
    /// The state before it times the reset gate, of a GRU whose reset comes in front of the product.
    Reset,
}

/// One step of all sequences; binds `x`, `r`, the first `h` and every `h`. Then a GRU binds the inner bias or the states
/// times the reset gate, which [`Phase::Reset`] writes, and an LSTM the first `c` and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The layer.
    pub cell: Cell,
    /// Whether it is the first step.
    pub first: bool,
    /// What to compute.
    pub phase: Phase,
    /// Element type; the states are kept as `f32`, or `f64`.
    pub dtype: DType,
}

/// Elements of a type of 16 bits that steps have kept as `f32`; binds them, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Element type.
    pub dtype: DType,
    /// Columns of a workgroup.
    pub width: u32,
}

impl Shader for Step {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut text = format!(
            "const FIRST: bool = {};\n\n{}{}\n",
            self.first,
            word::element(self.dtype)?,
            include_str!("step.wgsl")
        );
        let mut bindings = vec![Access::Read, Access::Read, Access::Read, Access::Write];
        for (name, element, access) in self.buffers() {
            bindings.push(access);
            text += &storage(bindings.len(), name, element, access);
        }
        text += &self.products();
        text += &format!("\nfn finish(sequence: u32, line: u32, j: u32, sums: vec4<f32>) {{\n{}}}\n\n", self.finish()?);
        text += &library(&text);
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: 64, shared: 1024 })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::step(self)
    }
}

impl Step {
    /// What it binds beside `x`, `r` and the states.
    fn buffers(&self) -> Vec<(&'static str, &'static str, Access)> {
        match (self.cell, self.phase) {
            (Cell::Plain(_), _) => Vec::new(),
            (Cell::Gru { inner: true, .. }, _) => vec![("bias", "Element", Access::Read)],
            (Cell::Gru { .. }, Phase::Reset) => vec![("reset", "f32", Access::Write)],
            (Cell::Gru { .. }, Phase::All) => vec![("reset", "f32", Access::Read)],
            (Cell::Lstm { .. }, _) => vec![("c", "Element", Access::Read), ("next_c", "f32", Access::Write)],
        }
    }

    /// The gates of the sums, and whether each is of the states times the reset gate.
    fn gates(&self) -> Vec<(usize, bool)> {
        match (self.cell, self.phase) {
            (Cell::Gru { inner: false, .. }, Phase::Reset) => vec![(1, false)],
            (Cell::Gru { inner: false, .. }, Phase::All) => vec![(0, false), (2, true)],
            (cell, _) => (0..cell.gates()).map(|gate| (gate, false)).collect(),
        }
    }

    fn products(&self) -> String {
        let mut terms: Vec<String> = self
            .gates()
            .into_iter()
            .map(|(gate, reset)| {
                format!("f32(r[row({gate}u, j) + k]) * {}", if reset { "reset[at]" } else { "before" })
            })
            .collect();
        terms.resize(4, "0.0".into());
        let terms = terms.join(",\n        ");
        format!(
            "\nfn products(at: u32, j: u32, k: u32) -> vec4<f32> {{\n    let before = state(at);\n    \
             return vec4<f32>(\n        {terms},\n    );\n}}\n"
        )
    }

    fn finish(&self) -> Result<String, Unsupported> {
        let input = |gate: usize| format!("input({gate}u, sequence, j)");
        Ok(match (self.cell, self.phase) {
            (Cell::Plain(f), _) => {
                format!("    y[params.y_first + line] = {};\n", squash(f, &format!("{} + sums.x", input(0)))?)
            }
            (Cell::Gru { squash: [f, _], inner: false }, Phase::Reset) => {
                let gate = squash(f, &format!("{} + sums.x", input(1)))?;
                format!("    reset[line] = {gate} * state(line);\n")
            }
            (Cell::Gru { squash: [f, g], inner }, _) => {
                let update = squash(f, &format!("{} + sums.x", input(0)))?;
                let reset = squash(f, &format!("{} + sums.y", input(1)))?;
                let candidate = if inner { format!("{reset} * (sums.z + f32(bias[j]))") } else { "sums.y".into() };
                let candidate = squash(g, &format!("{} + {candidate}", input(2)))?;
                format!(
                    "    let update = {update};\n    let candidate = {candidate};\n    \
                     y[params.y_first + line] = candidate + update * (state(line) - candidate);\n"
                )
            }
            (Cell::Lstm { squash: [f, g, k], order }, _) => {
                let sum = |i: usize| format!("{} + sums.{}", input(order[i]), ["x", "y", "z", "w"][order[i]]);
                let before = if self.first { "f32(c[line])" } else { "next_c[line]" };
                format!(
                    "    let kept = {} * {before};\n    let after = kept + {} * {};\n    next_c[line] = after;\n    \
                     y[params.y_first + line] = {} * {};\n",
                    squash(f, &sum(1))?,
                    squash(f, &sum(0))?,
                    squash(g, &sum(2))?,
                    squash(f, &sum(3))?,
                    squash(k, "after")?,
                )
            }
        })
    }
}

impl Shader for Round {
    type Params = RoundParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let declared = word::element(self.dtype)?;
        let mut text =
            format!("{declared}{}\n{}\n{}", include_str!("round.wgsl"), fitting(self.dtype), spread::wgsl(self.width));
        text += &library(&text);
        let bindings = vec![Access::Read, Access::Write];
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: spread::INVOCATIONS, shared: 0 })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::round(self)
    }
}

/// The function of the sum `x`.
fn squash(f: Squash, x: &str) -> Result<String, Unsupported> {
    let f = match f {
        Squash::Sigmoid => Unary::Sigmoid,
        Squash::Tanh => Unary::Tanh,
        Squash::Relu => Unary::Relu,
        Squash::Softplus => Unary::Softplus,
        Squash::Softsign => return Ok(format!("(({x}) / (1.0 + abs({x})))")),
    };
    Ok(format!("({})", unary(f, &format!("({x})"), DType::F32)?))
}
