//! `mindir kernels`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use mindir::cuda::{BundleError, Kernels as Noted};
use mindir::{Fact, Options, Precision, Tensor};

use crate::args::{self, LimitArgs, ModelKeyArgs};
use crate::failure::{Failure, Outcome};
use crate::input::InputArgs;
use crate::print;
use crate::random::Fill;
use crate::save;

/// Compile the kernels of models for GPUs of NVIDIA ahead of time.
#[derive(Args, Debug)]
pub struct Kernels {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Build(Build),
}

impl Kernels {
    pub fn execute(self) -> Result<Outcome, Failure> {
        match self.command {
            Command::Build(c) => c.execute(),
        }
    }
}

/// Compile all kernels that the plans of models need into one file. This takes NVRTC, and no GPU.
///
/// Where MINDIR_CUDA_BUNDLE names the file, the device cuda runs these models in these shapes without NVRTC. A model whose shapes or
/// branches depend on data is run on the CPU, on made-up inputs or those of -i, to find out which kernels it needs; what it did not
/// come to is not in the file.
#[derive(Args, Debug)]
struct Build {
    /// MindIR or ONNX files; for a split model NAME_graph.mindir
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    key: ModelKeyArgs,
    #[command(flatten)]
    inputs: InputArgs,
    /// What operands of matrix products and convolutions of f32 are rounded to: f32, tf32, f16 or bf16
    #[arg(long, default_value = "f32", value_name = "PRECISION", value_parser = args::precision)]
    precision: Precision,
    #[command(flatten)]
    limits: LimitArgs,
    /// Architectures, such as sm_80,sm_90a
    #[arg(long, value_name = "ARCH", value_delimiter = ',', required = true)]
    arch: Vec<String>,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// How long a run may take that finds out which kernels a model needs, unless something else is asked for.
const LONGEST: Duration = Duration::from_secs(60);

impl Build {
    fn execute(self) -> Result<Outcome, Failure> {
        save::try_target(&self.output)?;
        let kernels = Noted::default();
        for path in &self.models {
            self.note(path, &kernels).map_err(Failure::of(&path.display().to_string()))?;
        }
        let mut architectures = self.arch;
        architectures.sort_unstable();
        architectures.dedup();
        let bytes = kernels.bundle(&architectures).map_err(|e| match e {
            BundleError::Architecture { .. } => Failure::Usage(e.to_string()),
            e => mindir::Error::NoDevice { device: "cuda".into(), reason: e.to_string() }.into(),
        })?;
        save::write(&self.output, |out| out.write_all(&bytes))?;
        let (count, size) = (print::plural(kernels.count(), "kernel"), print::bytes(bytes.len() as u64));
        let path = self.output.display();
        Ok(Outcome::done(format!("wrote {path}: {count} for {}, {size}\n", architectures.join(", "))))
    }

    /// Plans a model, and runs it if that is not all, so that its kernels are noted.
    fn note(&self, path: &Path, kernels: &Noted) -> Result<(), Failure> {
        let model = Arc::new(args::load(self.key.source(path)?)?.model);
        let cell = |device: Noted| {
            let options = Options { precision: self.precision, deadline: Some(LONGEST), ..Options::default() };
            args::cell(model.clone(), self.limits.options(options).with_device(Arc::new(device)))
        };
        let planned = cell(kernels.clone())?;
        let fill = Some(Fill::Random(0));
        let inputs = self.inputs.tensors(&planned.inputs(), model.picture(), fill, &self.limits)?;
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        let Some((_, why)) = planned.plan(&facts)?.stops() else { return Ok(()) };
        print::tell(|| format!("{} {why}, so it is run", path.display()));
        match cell(kernels.declining())?.run(&inputs) {
            Ok(_) => print::warn(&format!(
                "{}: it {why}; kernels of branches that this run did not take are not in the bundle, -i gives other inputs",
                path.display()
            )),
            Err(e) => {
                print::warn(&format!("{}: {e}; kernels that it needs later are not in the bundle", path.display()));
            }
        }
        Ok(())
    }
}
