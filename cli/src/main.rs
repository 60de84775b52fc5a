//! The `mindir` command.
//!
//! One file per subcommand; each turns its arguments into an [`Outcome`] that `main` prints. Text goes to stdout, errors and
//! progress to stderr. What comes from files is escaped before it is printed.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod carry;
mod check;
mod ckpt;
mod compare;
mod completions;
mod content;
mod convert;
mod diff;
mod difference;
mod doctor;
mod dump;
mod eval;
mod failure;
mod image;
mod input;
mod inspect;
#[cfg(feature = "cuda")]
mod kernels;
mod ops;
mod plan;
mod print;
mod random;
mod run;
mod samples;
mod save;
#[cfg(feature = "serve")]
mod serve;
mod sets;
mod stats;
mod stdin;
mod top;
mod train;

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};

use crate::failure::{Failure, Outcome};
use crate::print::Volume;

/// Run MindSpore models outside Python: MindIR and ONNX files.
#[derive(Parser)]
#[command(name = "mindir", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print results and errors only: no warnings, no progress, nothing about what was done
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell on stderr what is read, how long loading and planning take, and where the model runs
    #[arg(short, long, global = true)]
    verbose: bool,
}

impl Cli {
    fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (_, true) => Volume::Verbose,
            _ => Volume::Normal,
        }
    }

    fn execute(self) -> Result<u8, Failure> {
        print::set_volume(self.volume());
        let outcome = self.command.execute()?;
        if !(outcome.is_notice && print::volume() == Volume::Quiet) {
            print::stdout(&outcome.text)?;
        }
        Ok(outcome.code)
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 results differ, 2 wrong usage or inputs, 3 the model needs something that is not supported,
4 a file is damaged or of another kind, 5 a device or file cannot be used, 6 a limit on memory, time, calls or nodes is
exceeded, 130 Ctrl-C, 143 SIGTERM and 129 SIGHUP ended a training.";

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
    Run(run::Run),
    Eval(Box<eval::Eval>),
    Train(Box<train::Train>),
    Compare(compare::Compare),
    Check(check::Check),
    Convert(convert::Convert),
    Diff(diff::Diff),
    Plan(plan::Plan),
    Bench(bench::Bench),
    #[cfg(feature = "serve")]
    Serve(Box<serve::Serve>),
    Ckpt(ckpt::Ckpt),
    #[cfg(feature = "cuda")]
    Kernels(kernels::Kernels),
    Ops(ops::Ops),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

impl Command {
    fn execute(self) -> Result<Outcome, Failure> {
        match self {
            Command::Inspect(c) => c.execute(),
            Command::Run(c) => c.execute(),
            Command::Eval(c) => c.execute(),
            Command::Train(c) => c.execute(),
            Command::Compare(c) => c.execute(),
            Command::Check(c) => c.execute(),
            Command::Convert(c) => c.execute(),
            Command::Diff(c) => c.execute(),
            Command::Plan(c) => c.execute(),
            Command::Bench(c) => c.execute(),
            #[cfg(feature = "serve")]
            Command::Serve(c) => c.execute(),
            Command::Ckpt(c) => c.execute(),
            #[cfg(feature = "cuda")]
            Command::Kernels(c) => c.execute(),
            Command::Ops(c) => c.execute(),
            Command::Doctor(c) => c.execute(),
            Command::Completions(c) => c.execute(),
        }
    }
}

fn main() -> ExitCode {
    // Also of arguments that are wrong, and say nothing else.
    let json = std::env::args_os().take_while(|a| a != "--").any(|a| a == "--json");
    let ended = match Cli::try_parse() {
        Ok(cli) => cli.execute(),
        Err(answer) => explain(&cut(answer), json),
    };
    ended.map_or_else(|failure| fail(&failure, json), ExitCode::from)
}

/// Prints why the command failed.
fn fail(failure: &Failure, json: bool) -> ExitCode {
    if !json || print::stdout(&print::json(&failure.report())).is_err() {
        print::stderr(&failure.text());
    }
    ExitCode::from(failure.code())
}

/// The answer with what was given cut to a length that can be read.
fn cut(mut answer: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if let Some(ContextValue::String(text)) = answer.get(kind) {
            let short = mindir::Printable(text).to_string();
            answer.insert(kind, ContextValue::String(short));
        }
    }
    answer
}

/// Prints help, or what is wrong with the arguments; returns the exit code.
fn explain(answer: &clap::Error, json: bool) -> Result<u8, Failure> {
    if answer.use_stderr() && json {
        let text = answer.to_string();
        return Err(Failure::Usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_string()));
    }
    let printed = answer.print();
    if answer.use_stderr() {
        return Ok(failure::USAGE);
    }
    print::written(printed.and_then(|()| std::io::stdout().flush()))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
