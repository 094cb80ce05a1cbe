//! `evenkeel bench limits`: what this device does at most.

use super::Measuring;
use crate::bench::limits::{Limits, measure};
use crate::error::Result;
use crate::gpu::{Gpu, mib};
use crate::train::progress::say;
use serde_json::{Value, json};

/// Arguments of `bench limits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    how: Measuring,
}

pub(super) fn run(Args { how }: &Args) -> Result<()> {
    let gpu = Gpu::open(how.device.as_deref())?;
    let limits = measure(&gpu, how.rounds(), how.basis())?;
    if how.json {
        say(format_args!("{}", as_json(&gpu, &limits, how)));
    } else {
        print(&gpu, &limits);
    }
    Ok(())
}

/// The limits as a JSON object.
pub(super) fn as_json(gpu: &Gpu, limits: &Limits, how: &Measuring) -> Value {
    json!({"bench": "limits", "device": gpu.describe(), "cpu_time": how.cpu_time, "limits": limits})
}

/// The limits as lines of text.
pub(super) fn print(gpu: &Gpu, limits: &Limits) {
    say(format_args!("{}", gpu.describe()));
    say(format_args!("multiply-adds, f32   {:>10.1} GFLOP/s", limits.fma_f32));
    match limits.fma_f16 {
        Some(rate) => say(format_args!("multiply-adds, f16   {rate:>10.1} GFLOP/s")),
        None => say(format_args!("multiply-adds, f16            no f16 on this device")),
    }
    for rate in &limits.copy {
        let half = mib(rate.bytes / 2);
        say(format_args!("copy of {half:<12} {:>10.1} GB/s", rate.gbytes));
    }
    say(format_args!("a dispatch           {:>10.1} µs", limits.dispatch_us));
    say(format_args!("a submit             {:>10.1} µs", limits.submit_us));
}
