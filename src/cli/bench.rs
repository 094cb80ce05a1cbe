//! `evenkeel bench`: times of a training step, by launch, kernel and op.

mod step;

use crate::error::Result;
use clap::Subcommand;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A planned training step: its time, and that of each launch, kernel and op
    Step(step::Args),
}

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Step(args) => step::run(args),
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
