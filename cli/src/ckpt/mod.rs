//! `mindir ckpt`.

mod convert;
mod diff;
mod edit;
mod files;
mod merge;
mod show;
mod verify;

use clap::{Args, Subcommand};

use crate::failure::{Failure, Outcome};

/// Look at checkpoints, change and convert them.
///
/// A file is read in the format that its contents tell: MindSpore's .ckpt, .safetensors, .npz, or PyTorch's .pth and .bin. It
/// is written in the format that its ending tells, and a file that is replaced is the old one or the new one, whatever happens.
#[derive(Args, Debug)]
pub struct Ckpt {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Ls(show::Ls),
    Show(show::Show),
    Get(show::Get),
    Set(edit::Set),
    Rm(edit::Rm),
    Rename(edit::Rename),
    Filter(edit::Filter),
    Merge(merge::Merge),
    Diff(diff::Diff),
    Verify(verify::Verify),
    Convert(convert::Convert),
    FromTorch(convert::FromTorch),
}

impl Ckpt {
    pub fn execute(self) -> Result<Outcome, Failure> {
        match self.command {
            Command::Ls(c) => c.execute(),
            Command::Show(c) => c.execute(),
            Command::Get(c) => c.execute(),
            Command::Set(c) => c.execute(),
            Command::Rm(c) => c.execute(),
            Command::Rename(c) => c.execute(),
            Command::Filter(c) => c.execute(),
            Command::Merge(c) => c.execute(),
            Command::Diff(c) => c.execute(),
            Command::Verify(c) => c.execute(),
            Command::Convert(c) => c.execute(),
            Command::FromTorch(c) => c.execute(),
        }
    }
}
