//! `mindir kernels`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use mindir::cuda::{BundleError, Kernels as Noted};
use mindir::{Fallback, Options};

use crate::args::{self, ModelKeyArgs, ShapeArgs};
use crate::failure::{Failure, Outcome};
use crate::print;
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
/// Where MINDIR_CUDA_BUNDLE names the file, the device cuda runs these models in these shapes without NVRTC.
#[derive(Args, Debug)]
struct Build {
    /// MindIR or ONNX files; for a split model NAME_graph.mindir
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    key: ModelKeyArgs,
    #[command(flatten)]
    shapes: ShapeArgs,
    /// Architectures, such as sm_80,sm_90a
    #[arg(long, value_name = "ARCH", value_delimiter = ',', required = true)]
    arch: Vec<String>,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Build {
    fn execute(self) -> Result<Outcome, Failure> {
        save::has_folder(&self.output)?;
        let kernels = Arc::new(Noted::default());
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

    /// Plans a model, so that its kernels are noted.
    fn note(&self, path: &Path, kernels: &Arc<Noted>) -> Result<(), Failure> {
        let loaded = args::load(self.key.source(path)?)?;
        let options = Options { fallback: Fallback::Allow, ..Options::default() };
        let cell = args::cell(loaded.model, options.with_device(kernels.clone()))?;
        let plan = cell.plan(&self.shapes.facts(&cell.inputs())?)?;
        if let Some((at, why)) = plan.stops() {
            let node = cell.model().entry().nodes.get(at).map_or("its end".into(), |node| node.path.to_string());
            print::warn(&format!(
                "{}: {why}, so that kernels from {} on are not in the bundle",
                path.display(),
                print::name(&node)
            ));
        }
        Ok(())
    }
}
