//! Layer and RMS normalisation of rows.

use bytemuck::{Pod, Zeroable};

use crate::module::storage;
use crate::{Access, Module, Shader, Unsupported};

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Number of rows.
    pub rows: u32,
    /// Elements of a row.
    pub cols: u32,
    /// Added under the root.
    pub eps: f32,
}

/// A variant of the shader; binds `x`, `y`, then gamma, beta, the means (if centred and with statistics) and the factors (with
/// statistics), as far as there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Whether the mean is taken off.
    pub centred: bool,
    /// Whether there is a scale operand.
    pub gamma: bool,
    /// Whether there is a shift operand.
    pub beta: bool,
    /// Whether the statistics are results.
    pub stats: bool,
}

impl Shader for Norm {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut bindings = vec![Access::Read, Access::Write];
        let mut text = format!("{}\n", include_str!("norm.wgsl"));
        let mut declare = |name: &str, access: Access| {
            bindings.push(access);
            storage(bindings.len(), name, "f32", access)
        };
        if self.gamma {
            text += &declare("gamma", Access::Read);
        }
        if self.beta {
            text += &declare("beta", Access::Read);
        }
        if self.stats && self.centred {
            text += &declare("means", Access::Write);
        }
        if self.stats {
            text += &declare("factors", Access::Write);
        }
        text += &self.functions();
        let constants = vec![("centred", f64::from(u8::from(self.centred)))];
        Ok(Module { source: text, bindings, constants, invocations: 256, shared: 1024 })
    }
}

impl Norm {
    fn functions(&self) -> String {
        let scale = if self.gamma { "gamma[j]" } else { "1.0" };
        let shift = if self.beta { "beta[j]" } else { "0.0" };
        let mut keep = String::new();
        if self.stats && self.centred {
            keep += "    means[row] = mean;\n";
        }
        if self.stats {
            keep += "    factors[row] = factor;\n";
        }
        format!(
            "\nfn scale(j: u32) -> f32 {{\n    return {scale};\n}}\n\n\
             fn shift(j: u32) -> f32 {{\n    return {shift};\n}}\n\n\
             fn keep(row: u32, mean: f32, factor: f32) {{\n{keep}}}\n"
        )
    }
}
