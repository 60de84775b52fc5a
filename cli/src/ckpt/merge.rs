//! `mindir ckpt merge`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mindir::ckpt::{Checkpoint, OnSame};

use super::files::{KeyArgs, WriteArgs};
use crate::failure::{Failure, Outcome};
use crate::print::name;

/// Put the entries of several checkpoints into one.
#[derive(Args, Debug)]
pub struct Merge {
    /// The checkpoints, in order
    #[arg(required = true, num_args = 2..)]
    files: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Which of two values with one name stays
    #[arg(long, default_value = "error")]
    same: Same,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Same {
    Error,
    First,
    Last,
}

impl Merge {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let same = match self.same {
            Same::Error => OnSame::Refuse,
            Same::First => OnSame::First,
            Same::Last => OnSame::Last,
        };
        let mut all = Checkpoint::new();
        for file in &self.files {
            let (checkpoint, _) = self.key.read(file)?;
            all.merge(checkpoint, same).map_err(|names| {
                let names: Vec<String> = names.iter().take(5).map(|n| name(n)).collect();
                let (file, names) = (file.display(), names.join(", "));
                Failure::Usage(format!("{file}: there are entries called {names} already; --same says which stay"))
            })?;
        }
        self.write.write(&self.output, &all, &self.key, None, &[])
    }
}
