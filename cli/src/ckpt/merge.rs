//! `mindir ckpt merge`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mindir::ckpt::{Checkpoint, OnSame};

use super::files::{WriteArgs, fits};
use crate::args::KeyArgs;
use crate::failure::{Failure, Outcome};
use crate::print::{name, quoted};

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
    /// The checkpoints are those of several devices: entries that fit PATTERN are joined along dimension AXIS, all others must be
    /// equal
    #[arg(long, value_name = "PATTERN=AXIS", value_parser = along, conflicts_with = "same")]
    concat: Vec<(String, usize)>,
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

fn along(text: &str) -> Result<(String, usize), String> {
    let (pattern, axis) = text.rsplit_once('=').ok_or("expected PATTERN=AXIS")?;
    Ok((pattern.to_string(), axis.parse().map_err(|_| format!("{} is no number of a dimension", quoted(axis)))?))
}

impl Merge {
    pub fn execute(self) -> Result<Outcome, Failure> {
        self.files.iter().try_for_each(|file| self.write.check(file, &self.output))?;
        let files = self.files.iter().map(|file| self.key.read(file)).collect::<Result<Vec<_>, _>>()?;
        let cipher = files.iter().find_map(|(_, kind)| kind.cipher);
        let checkpoints = files.into_iter().map(|(checkpoint, _)| checkpoint).collect();
        let all = if self.concat.is_empty() { self.union(checkpoints)? } else { self.joined(checkpoints)? };
        self.write.write(&self.output, &all, &self.key, cipher, None, &[])
    }

    fn joined(&self, devices: Vec<Checkpoint>) -> Result<Checkpoint, Failure> {
        let axis = |name: &str| self.concat.iter().find(|(pattern, _)| fits(pattern, name)).map(|(_, axis)| *axis);
        Checkpoint::integrate(&devices, axis).map_err(|e| Failure::Usage(e.to_string()))
    }

    fn union(&self, checkpoints: Vec<Checkpoint>) -> Result<Checkpoint, Failure> {
        let same = match self.same {
            Same::Error => OnSame::Refuse,
            Same::First => OnSame::First,
            Same::Last => OnSame::Last,
        };
        let mut all = Checkpoint::new();
        for (file, checkpoint) in self.files.iter().zip(checkpoints) {
            all.merge(checkpoint, same).map_err(|names| {
                let names: Vec<String> = names.iter().take(5).map(|n| name(n)).collect();
                let (file, names) = (file.display(), names.join(", "));
                Failure::Usage(format!("{file}: there are entries called {names} already; --same says which stay"))
            })?;
        }
        Ok(all)
    }
}
