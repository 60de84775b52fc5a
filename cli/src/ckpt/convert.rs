//! `mindir ckpt convert` and `from-torch`.

use std::path::PathBuf;

use clap::Args;
use mindir::Cipher;
use mindir::ckpt::{Checkpoint, Format};

use super::edit::{changes, renamed};
use super::files::WriteArgs;
use crate::args::{self, KeyArgs};
use crate::content::is;
use crate::failure::{Failure, Outcome};
use crate::print;

/// Write a checkpoint in another format, encrypted or not, with or without a checksum. What is encrypted stays so, unless
/// --decrypt is given.
///
/// Of a MindIR or ONNX file the parameters are taken.
#[derive(Args, Debug)]
pub struct Convert {
    #[command(flatten)]
    paths: PathArgs,
    /// File with rules for names, see `mindir ckpt rename`
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct PathArgs {
    /// The file to read
    input: PathBuf,
    /// The file to write
    output: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl PathArgs {
    /// The entries of a checkpoint or the parameters of a model, and how the file is encrypted.
    fn read(&self) -> Result<(Checkpoint, Option<Cipher>), Failure> {
        if !is(&self.input, &["mindir", "onnx"]) {
            let (checkpoint, kind) = self.key.read(&self.input)?;
            return Ok((checkpoint, kind.cipher));
        }
        let loaded = args::load(self.key.source(&self.input)?)?;
        Ok((loaded.model.params.iter().collect(), loaded.report.encrypted))
    }

    fn write(&self, before: &[String], checkpoint: &Checkpoint, cipher: Option<Cipher>) -> Result<Outcome, Failure> {
        self.write.check(&self.input, &self.output)?;
        self.write.check_loadable(&self.output, checkpoint)?;
        self.write.write(&self.output, checkpoint, &self.key, cipher, None, &changes(before, checkpoint))
    }
}

fn names(checkpoint: &Checkpoint) -> Vec<String> {
    checkpoint.names().map(str::to_string).collect()
}

impl Convert {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (checkpoint, cipher) = self.paths.read()?;
        let before = names(&checkpoint);
        self.paths.write(&before, &renamed(checkpoint, self.names.as_deref(), false)?, cipher)
    }
}

/// Write the tensors of a PyTorch checkpoint as one of MindSpore: a .pth, .pt or .bin of any age, .safetensors, or the index of
/// several (.safetensors.index.json). No code of the file is executed.
///
/// Names of nested dictionaries are joined with dots. The state of an optimizer is left out unless --root names it. Complex tensors are refused, for MindSpore cannot load them.
#[derive(Args, Debug)]
pub struct FromTorch {
    #[command(flatten)]
    paths: PathArgs,
    /// File with rules for names, see `mindir ckpt rename`; applied last
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Take only what is below this name, such as state_dict
    #[arg(long, value_name = "NAME")]
    root: Option<String>,
    /// Leave the names of normalisations as they are
    #[arg(long)]
    keep_batch_norm: bool,
}

impl FromTorch {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (checkpoint, kind) = self.paths.key.read(&self.paths.input)?;
        if !matches!(kind.format, Format::Torch | Format::Safetensors) {
            let what = format!("expected a checkpoint of PyTorch, found one of format {}", kind.format);
            return Err(Failure::Corrupt { path: self.paths.input, what });
        }
        let before = names(&checkpoint);
        let checkpoint = match &self.root {
            Some(root) => below(checkpoint, root)?,
            None => without_optimizer(checkpoint),
        };
        let checkpoint = renamed(checkpoint, self.names.as_deref(), !self.keep_batch_norm)?;
        self.paths.write(&before, &checkpoint, kind.cipher)
    }
}

/// What training scripts call the state of an optimizer.
const OPTIMIZERS: [&str; 4] = ["optimizer", "optimizer_state_dict", "optimizer_states", "optim"];

/// The entries that are not the state of an optimizer.
fn without_optimizer(mut checkpoint: Checkpoint) -> Checkpoint {
    let all = checkpoint.len();
    checkpoint.retain(|name, _| !name.split_once('.').is_some_and(|(first, _)| OPTIMIZERS.contains(&first)));
    let left_out = all - checkpoint.len();
    if left_out > 0 {
        print::warn(&format!("left out {} of an optimizer", print::entries(left_out)));
    }
    checkpoint
}

/// The entries below a name, without it.
fn below(mut checkpoint: Checkpoint, root: &str) -> Result<Checkpoint, Failure> {
    let prefix = format!("{root}.");
    checkpoint.retain(|name, _| name.starts_with(&prefix));
    if checkpoint.is_empty() {
        return Err(Failure::Usage(format!("nothing is below {}", print::name(root))));
    }
    let shortened = checkpoint.rename(|name| name[prefix.len()..].to_string());
    shortened.map_err(|name| Failure::Usage(format!("two entries would be called {name}")))
}
