//! The commands, one file each. Exit codes: 0 done, 2 a wrong request, 1 a failure, 130 Ctrl-C.

mod bench;
mod calibrate;
mod check;
mod compare;
mod data;
mod devices;
mod eval;
mod inspect;
mod lesson;
mod loaded;
mod methods;
mod photos;
mod predict;
mod report;
mod reproduce;
mod train;
mod tune;

use crate::dist;
use crate::error::{Error, Result};
use crate::gpu::{self, Limits};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Train image classifiers on long-tailed data on any GPU, with normalized batch norm.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Limits and features that the device is asked for: adapter (all it has), or as if it were a
    /// lesser one: webgpu, downlevel
    #[arg(long, global = true, value_name = "NAME")]
    limits: Option<String>,
    /// Write all that is done on the device to DIR, for another implementation of WebGPU to replay
    /// (docs/portability.md)
    #[arg(long, global = true, value_name = "DIR")]
    record: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List adapters with backend, limits and features
    Devices(devices::Args),
    /// Train a network; without arguments, on the built-in synthetic long-tailed set
    Train(Box<train::Args>),
    /// List the methods: parts of recipes, and the recipes that come along
    Methods(methods::Args),
    /// Train recipes over several seeds and show them beside the published numbers
    Compare(Box<compare::Args>),
    /// Train a benchmark's table from its files: many/medium/few, time and device
    Reproduce(Box<reproduce::Args>),
    /// Evaluate a checkpoint: overall, many/medium/few and per-class accuracy
    Eval(Box<eval::Args>),
    /// Classify images, or folders of them, with a checkpoint
    Predict(predict::Args),
    /// Fit the temperature that makes a checkpoint's probabilities mean what they say
    Calibrate(Box<calibrate::Args>),
    /// Look through a set of image files, pack it into shards, measure how fast it is read
    Data(data::Args),
    /// Look into kernels, a run's folder, or a planned step
    Inspect(inspect::Args),
    /// Write the page about a run, or about two beside each other
    Report(report::Args),
    /// Check every op and kernel variant against the reference, or golden files
    Check(check::Args),
    /// Time kernels, a training step, and the limits of this device
    Bench(bench::Args),
    /// The book's exercises: list, tell, start, check
    Lesson(lesson::Args),
    /// Find the fastest kernel variants of this device and keep them in a table
    Tune(tune::Args),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(dir) = &cli.record {
        gpu::record_in(dir);
    }
    let limited = cli.limits.as_deref().map_or(Ok(()), |name| Limits::named(name).map(Limits::ask));
    match limited.and_then(|()| run(&cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Of processes that end together, one tells why.
            if !matches!(e, Error::Together { told: false, .. }) {
                eprintln!("evenkeel: {e}");
            }
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(command: &Command) -> Result<()> {
    if !matches!(command, Command::Train(_)) {
        dist::refuse_several()?;
    }
    match command {
        Command::Devices(args) => devices::run(args),
        Command::Train(args) => train::run(args),
        Command::Methods(args) => methods::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Reproduce(args) => reproduce::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Data(args) => data::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Report(args) => report::run(args),
        Command::Check(args) => check::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Lesson(args) => lesson::run(args),
        Command::Tune(args) => tune::run(args),
    }
}
