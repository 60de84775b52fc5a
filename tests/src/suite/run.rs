//! The ways to compute a case.

use std::sync::{Arc, OnceLock};

use mindir::machine::Isa;
use mindir::onnx::OPSETS;
use mindir::{Fallback, Options, Source, Tensor};
use mindir_graph::graph::Model;
use mindir_kernels::plain;

use super::{Call, Case, Content, Results, same_interface, same_operators};
use crate::{reference, tasks};

#[cfg(feature = "cuda")]
#[path = "../../../kernels/tests/cuda/mod.rs"]
mod emulation;

/// A way to compute a case.
pub struct Runner {
    /// Heading of its column in the table.
    pub name: &'static str,
    /// The largest error, in units in the last place of the largest magnitude that a tensor should have; or why there are no
    /// results, or what is wrong with them besides.
    pub run: fn(&Case) -> Result<f64, String>,
}

/// Every way, in the order of the table's columns.
pub const RUNNERS: &[Runner] = &[
    Runner { name: "reference", run: references },
    Runner { name: "plain", run: lowered },
    Runner { name: "cpu", run: cpu },
    Runner { name: "mindir", run: mindir },
    Runner { name: "onnx", run: onnx },
    Runner { name: "onnx-old", run: onnx_oldest },
    Runner { name: "wgpu", run: wgpu },
    Runner { name: "cuda", run: cuda },
];

impl Runner {
    /// The runner of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(name: &str) -> &'static Runner {
        RUNNERS.iter().find(|runner| runner.name == name).unwrap_or_else(|| panic!("no runner {name}"))
    }

    /// Its column in the table.
    pub fn column(&self) -> usize {
        RUNNERS.iter().position(|runner| runner.name == self.name).unwrap_or(RUNNERS.len())
    }
}

/// One node after the other, each by its operator's reference.
fn references(case: &Case) -> Result<f64, String> {
    straight(case.content()?, reference::run)
}

/// Lowered, and the tasks computed by their plain definitions.
fn lowered(case: &Case) -> Result<f64, String> {
    straight(case.content()?, |model, inputs, params| tasks::run_whole(model, inputs, params, &plain::run))
}

/// The error of a function that computes one call from inputs and parameters, and changes those that the model writes.
fn straight(
    content: &Content,
    compute: impl Fn(&Model, &[Tensor], &mut [Tensor]) -> Result<Vec<Tensor>, String>,
) -> Result<f64, String> {
    let fresh = || content.model.params.iter().map(|p| p.tensor.clone()).collect::<Vec<_>>();
    let mut params = fresh();
    let mut calls = Vec::new();
    for call in &content.calls {
        if !content.steps {
            params = fresh();
        }
        calls.push(compute(&content.model, &call.inputs, &mut params).map_err(|e| format!("{}: {e}", call.name))?);
    }
    let param = |(name, _): &(String, _)| {
        let at = content.model.params.iter().position(|p| *p.name == **name);
        at.map(|at| params[at].clone()).ok_or_else(|| format!("no parameter {name}"))
    };
    content.error(&Results { calls, after: content.after.iter().map(param).collect::<Result<_, _>>()? })
}

/// On the CPU with every instruction set, with all passes and with none. Two threads give the bits of one.
fn cpu(case: &Case) -> Result<f64, String> {
    let content = case.content()?;
    let mut worst = 0f64;
    for isa in Isa::all() {
        for passes in ["all", "no"] {
            let label = |e: String| format!("{isa}, {passes} passes: {e}");
            let disabled = if passes == "no" { vec!["all".to_string()] } else { Vec::new() };
            let options = |threads| Options {
                isa: Some(isa),
                threads: Some(threads),
                disabled_passes: disabled.clone(),
                ..Options::default()
            };
            let one = content.run(&content.model, &options(1)).map_err(label)?;
            let two = content.run(&content.model, &options(2)).map_err(label)?;
            two.same_bits(&one).map_err(|e| label(format!("two threads: {e}")))?;
            worst = worst.max(content.error(&one).map_err(label)?);
        }
    }
    Ok(worst)
}

/// The model in a file's bytes.
fn load(name: &str, bytes: Vec<u8>) -> Result<Model, String> {
    Ok(mindir::load_source(Source::from_bytes(name, bytes)).map_err(|e| format!("import: {e}"))?.model)
}

fn one_thread() -> Options {
    Options { threads: Some(1), ..Options::default() }
}

/// Written as MindIR and read again: the same interface, operators and bits.
fn mindir(case: &Case) -> Result<f64, String> {
    let content = case.content()?;
    let bytes = mindir_loader::mindir::to_bytes(&content.model).map_err(|e| format!("export: {e}"))?;
    let back = load("model.mindir", bytes)?;
    same_interface(&content.model, &back)?;
    if !case.name.starts_with("onnx/") {
        same_operators(&content.model, &back)?;
    }
    let got = content.run(&Arc::new(back), &one_thread())?;
    got.same_bits(&content.run(&content.model, &one_thread())?)?;
    content.error(&got)
}

/// Written as ONNX of the newest set of operators, read again and run.
fn onnx(case: &Case) -> Result<f64, String> {
    through_onnx(case, *OPSETS.end())
}

/// As `onnx`, of the oldest set.
fn onnx_oldest(case: &Case) -> Result<f64, String> {
    through_onnx(case, *OPSETS.start())
}

fn through_onnx(case: &Case, opset: i64) -> Result<f64, String> {
    let content = case.content()?;
    let content = Content { calls: as_declared(content), ..content.clone() };
    if content.calls.is_empty() {
        return Err("the inputs have other shapes than the model declares".into());
    }
    let bytes = mindir_loader::onnx::to_bytes(&content.model, opset).map_err(|e| format!("export: {e}"))?;
    let back = load("model.onnx", bytes)?;
    content.error(&content.run(&Arc::new(back), &one_thread())?)
}

/// The calls whose inputs have the shapes that the model declares: ONNX files hold for no others.
fn as_declared(content: &Content) -> Vec<Call> {
    let graph = content.model.entry();
    let declared =
        |call: &&Call| graph.inputs.iter().zip(&call.inputs).all(|(v, t)| graph.value(*v).spec.takes(t.shape()));
    content.calls.iter().filter(declared).cloned().collect()
}

/// On wgpu, and nowhere else.
fn wgpu(case: &Case) -> Result<f64, String> {
    static DEVICE: OnceLock<Result<Options, String>> = OnceLock::new();

    let content = case.content()?;
    let open = || Options::default().on("wgpu").map_err(|e| e.to_string());
    let options = Options { fallback: Fallback::Deny, ..DEVICE.get_or_init(open).clone()? };
    content.error(&content.run(&content.model, &options)?)
}

/// On CUDA, and nowhere else.
fn cuda(case: &Case) -> Result<f64, String> {
    static DEVICE: OnceLock<Result<Options, String>> = OnceLock::new();

    let content = case.content()?;
    let options = Options { fallback: Fallback::Deny, ..DEVICE.get_or_init(on_cuda).clone()? };
    content.error(&content.run(&content.model, &options)?)
}

/// Options that run on CUDA, by default on an emulated driver.
///
/// # Errors
/// What is missing.
#[cfg(feature = "cuda")]
pub fn on_cuda() -> Result<Options, String> {
    use mindir::cuda::{self, CudaDevice};

    let (cache, own_products) = (Some(emulation::load()?), !emulation::has_products());
    let options = cuda::Options { cache, own_products, ..cuda::Options::default() };
    let device = CudaDevice::new(&options).map_err(|e| e.to_string())?;
    Ok(Options::default().with_device(Arc::new(device)))
}

/// Options that run on CUDA.
///
/// # Errors
/// What is missing.
#[cfg(not(feature = "cuda"))]
pub fn on_cuda() -> Result<Options, String> {
    Err("this build lacks it; build with the cargo feature `cuda`".into())
}
