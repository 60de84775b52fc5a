//! Layer and RMS normalisation of rows.

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;

use crate::cuda::{self, layout};
use crate::module::{BLOCK, storage};
use crate::program::{fitting, library};
use crate::{Access, Module, Shader, Unsupported, word};

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
    /// What `eps` lacks, if it is more precise.
    pub rest: f32,
    /// First elements of what is bound, in order.
    pub firsts: [u32; 8],
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
    /// Element type of all but the statistics.
    pub dtype: DType,
}

impl Shader for Norm {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut bindings = vec![Access::Read, Access::Write];
        let mut text = format!("{}{BLOCK}\n{}\n", word::element(self.dtype)?, include_str!("norm.wgsl"));
        // The place of element `at` in what is bound next.
        let mut declare = |name: &str, at: &str, access: Access| {
            let (i, c) = (bindings.len() / 4, ['x', 'y', 'z', 'w'][bindings.len() % 4]);
            bindings.push(access);
            text += &storage(bindings.len(), name, if access == Access::Read { "Element" } else { "f32" }, access);
            format!("{name}[params.firsts[{i}].{c} + {at}]")
        };
        let mut operand = |there: bool, name: &str, default: &str| {
            if there { format!("f32({})", declare(name, "j", Access::Read)) } else { default.into() }
        };
        let (scale, shift) = (operand(self.gamma, "gamma", "1.0"), operand(self.beta, "beta", "0.0"));
        let mut keep = String::new();
        if self.stats && self.centred {
            keep += &format!("    {} = mean;\n", declare("means", "row", Access::Write));
        }
        if self.stats {
            keep += &format!("    {} = factor;\n", declare("factors", "row", Access::Write));
        }
        let functions = format!(
            "\nfn scale(j: u32) -> f32 {{\n    return {scale};\n}}\n\n\
             fn shift(j: u32) -> f32 {{\n    return {shift};\n}}\n\n\
             fn keep(row: u32, mean: f32, factor: f32) {{\n{keep}}}\n\n{}",
            fitting(self.dtype)
        );
        text += &format!("{functions}\n{}", library(&functions));
        let constants = vec![("centred", f64::from(u8::from(self.centred)))];
        Ok(Module { source: text, bindings, constants, invocations: 256, shared: 1024 })
    }
    fn cuda(&self) -> Result<Module, Unsupported> {
        let element = cuda::stored(self.dtype)?;
        let mut bindings = vec![("x".to_string(), element, Access::Read), ("y".to_string(), element, Access::Write)];
        let mut args = vec!["params".to_string(), "x".into(), "y".into()];
        let optional = [
            (self.gamma, "gamma", element, Access::Read),
            (self.beta, "beta", element, Access::Read),
            (self.stats && self.centred, "means", "f32", Access::Write),
            (self.stats, "factors", "f32", Access::Write),
        ];
        for (there, name, element, access) in optional {
            if there {
                args.push(format!("{name} + params.firsts[{}]", bindings.len()));
                bindings.push((name.into(), element, access));
            } else {
                args.push("nullptr".into());
            }
        }
        let declared = format!("{}const bool CENTRED = {};\n", cuda::types(self.dtype, self.dtype)?, self.centred);
        let params = layout!(Params: rows, cols, eps, rest, firsts);
        let parts = [cuda::LIBRARY, cuda::BLOCK, &declared, include_str!("norm.cu"), &params];
        Ok(cuda::module(&parts, &bindings, 256, 64, &format!("    normalise({});\n", args.join(", "))))
    }
}
