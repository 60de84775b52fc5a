//! `mindir completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::failure::{Failure, Outcome};

/// Print a completion script for a shell.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "mindir", &mut script);
        Ok(Outcome::ok(String::from_utf8_lossy(&script).into_owned()))
    }
}
