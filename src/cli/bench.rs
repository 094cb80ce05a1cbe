//! `evenkeel bench`: kernels against this device's limits, a training step, the limits themselves.

mod kernels;
mod limits;
mod methods;
mod step;

use crate::bench::clock::Basis;
use crate::error::Result;
use clap::Subcommand;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    kernels: kernels::Args,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A planned training step: its time, and that of each launch, kernel and op
    Step(step::Args),
    /// Multiply-add rate, copy bandwidth and dispatch cost of this device
    Limits(limits::Args),
    /// Each recipe's training step beside cross-entropy's: launches, work, modelled and measured time
    Methods(methods::Args),
}

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.what {
        None => kernels::run(&args.kernels),
        Some(What::Step(args)) => step::run(args),
        Some(What::Limits(args)) => limits::run(args),
        Some(What::Methods(args)) => methods::run(args),
    }
}

/// Flags of how to measure.
#[derive(Debug, clap::Args)]
struct Measuring {
    /// Timed rounds of each
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Rates and shares from processor time over all cores, not from the clock on the wall: for a
    /// software device on a busy machine
    #[arg(long)]
    cpu_time: bool,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// JSON on stdout: one object a line
    #[arg(long)]
    json: bool,
}

impl Measuring {
    fn rounds(&self) -> usize {
        usize::from(self.rounds)
    }

    fn basis(&self) -> Basis {
        if self.cpu_time { Basis::Processor } else { Basis::Wall }
    }
}

/// Billions of FLOPs a second.
fn gflops(flops: u64, ms: f64) -> f64 {
    if ms > 0.0 { flops as f64 / ms / 1e6 } else { 0.0 }
}

/// Billions of bytes a second.
fn gbytes(cost: &evenkeel_kernels::Cost, ms: f64) -> f64 {
    gflops(cost.read + cost.written, ms)
}
