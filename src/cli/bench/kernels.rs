//! `evenkeel bench [NAME…]`: each kernel's time, rates and share of this device's limit.

use super::limits::{as_json as limits_json, print as print_limits};
use super::{Measuring, gbytes, gflops};
use crate::bench::kernels::{Bench, Measured, Verified, select};
use crate::bench::limits::{Limits, measure};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::train::progress::say;
use evenkeel_kernels::Caps;
use serde_json::json;

/// Arguments of `bench` without a subcommand.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Benches: a name, the beginning of one, or a family (conv, small, imagenet, matmul, bn, ce, sgd,
    /// elementwise, reduce, cases: every case of `evenkeel check`); all but imagenet and cases without any
    names: Vec<String>,
    /// Time each kernel variant that runs here, not only the chosen one
    #[arg(long)]
    variants: bool,
    /// The names, and nothing else
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    how: Measuring,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let benches = select(&args.names)?;
    if args.list {
        benches.iter().for_each(|b| say(format_args!("{}", b.name)));
        return Ok(());
    }
    let how = &args.how;
    let gpu = Gpu::open(how.device.as_deref())?;
    let limits = measure(&gpu, how.rounds(), how.basis())?;
    if how.json {
        say(format_args!("{}", limits_json(&gpu, &limits, how)));
    } else {
        print_limits(&gpu, &limits);
        say(format_args!(
            "\n{:<34} {:<9} {:>9} {:>9} {:>9} {:>8} {:>7}  {:>6}",
            "bench", "variant", "median ms", "least ms", "GFLOP/s", "GB/s", "limit", "bound"
        ));
    }
    let mut verified = Verified::default();
    for bench in &benches {
        let mut offered = bench.choice.variants(&gpu.caps);
        // What mixed precision takes stands beside them.
        let mixed = Caps { half_products: true, ..gpu.caps.clone() };
        for variant in bench.choice.variants(&mixed) {
            if !offered.contains(&variant) {
                offered.push(variant);
            }
        }
        let variants: Vec<Option<&'static str>> = match (args.variants, offered.is_empty()) {
            (true, false) => offered.into_iter().map(Some).collect(),
            _ => vec![None],
        };
        for variant in variants {
            let device = variant.map_or_else(|| gpu.clone(), |v| gpu.preferring(v));
            verified.check(bench, &device)?;
            let found = bench.measure(&device, variant, how.rounds())?;
            report(how, bench, &found, &limits);
        }
    }
    Ok(())
}

/// One line; rates and the share of the limit are those of the least time, as the limits' are.
fn report(how: &Measuring, bench: &Bench, found: &Measured, limits: &Limits) {
    let (least, bound) = limits.least(&found.cost, found.dispatches);
    let ms = found.times.least(how.basis());
    let (flops, bytes) = (gflops(found.cost.flops, ms), gbytes(&found.cost, ms));
    let share = least / ms;
    if how.json {
        let line = json!({
            "bench": bench.name, "family": bench.family, "variant": found.variant, "least_ms": ms,
            "ms": found.times.wall, "cpu_ms": found.times.cpu, "rounds": found.times.rounds,
            "repeats": found.times.repeats, "flops": found.cost.flops,
            "bytes_read": found.cost.read, "bytes_written": found.cost.written,
            "dispatches": found.dispatches, "gflops": flops, "gbytes": bytes,
            "limit_ms": least, "bound": bound, "share_of_limit": share,
        });
        say(format_args!("{line}"));
        return;
    }
    say(format_args!(
        "{:<34} {:<9} {:>9.3} {:>9.3} {:>9.2} {:>8.2} {:>5.1} %  {:>6}",
        bench.name,
        found.variant.unwrap_or("chosen"),
        found.times.wall.median,
        ms,
        flops,
        bytes,
        share * 100.0,
        bound.name()
    ));
}
