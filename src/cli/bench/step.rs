//! `evenkeel bench step`: where a training step's time goes.

use super::{gbytes, gflops};
use crate::bench::step::{
    Group, LaunchTime, Measured, StepJob, StepSpec, convolution_share, group,
};
use crate::error::{Error, Result, unknown};
use crate::gpu::{Gpu, mib};
use crate::train::config::{Activations, Norm, Precision};
use crate::train::progress::say;
use serde_json::{Value, json};

/// Arguments of `bench step`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Network
    #[arg(long, default_value = "resnet32")]
    model: String,
    /// Images in a batch
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// bn or nbn
    #[arg(long, default_value = "nbn")]
    norm: String,
    /// Layers that nbn normalizes: last-stage, all, none, or patterns such as layer3.*.bn2
    #[arg(long, default_value = "last-stage")]
    nbn_layers: String,
    /// Classes
    #[arg(long, default_value_t = 10)]
    classes: usize,
    /// Rows and columns of an image
    #[arg(long, default_value_t = 32)]
    side: usize,
    /// Keep of each block its output alone, and compute the rest again for the gradient
    #[arg(long)]
    recompute: bool,
    /// As what activations wait for the backward pass: f32 or f16
    #[arg(long, default_value = "f32")]
    activations: String,
    /// In which numbers: f32 or mixed
    #[arg(long, default_value = "f32")]
    precision: String,
    /// Timed rounds of the step
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Profiles of the launches, of which the median counts
    #[arg(long, default_value_t = 3)]
    profiles: usize,
    /// List every launch in order
    #[arg(long)]
    plan: bool,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let norm = match args.norm.as_str() {
        "bn" => Norm::Bn,
        "nbn" => Norm::Nbn,
        other => return Err(unknown("norm", other, &["bn", "nbn"])),
    };
    let zero = [
        ("--batch-size", args.batch_size),
        ("--classes", args.classes),
        ("--side", args.side),
        ("--rounds", args.rounds),
        ("--profiles", args.profiles),
    ];
    if let Some((flag, _)) = zero.iter().find(|(_, n)| *n == 0) {
        return Err(Error::usage(format!("{flag} must be at least 1")));
    }
    let spec = StepSpec {
        model: args.model.clone(),
        batch_size: args.batch_size,
        norm,
        nbn_layers: args.nbn_layers.clone(),
        classes: args.classes,
        side: args.side,
        recompute: args.recompute,
        activations: Activations::parse(&args.activations)
            .ok_or_else(|| unknown("activations", &args.activations, Activations::NAMES))?,
        precision: Precision::parse(&args.precision)
            .ok_or_else(|| unknown("precision", &args.precision, Precision::NAMES))?,
    };
    let gpu = Gpu::open(args.device.as_deref())?;
    let found = StepJob::new(&gpu, &spec)?.measure(args.rounds, args.profiles)?;
    if args.json {
        say(format_args!("{}", as_json(&gpu, &spec, args.plan, &found)));
    } else {
        print(&gpu, &spec, args.plan, &found);
    }
    Ok(())
}

fn by_kernel(launch: &LaunchTime) -> String {
    launch.kernel.trim_start_matches("kernels/").to_string()
}

fn by_op(launch: &LaunchTime) -> String {
    launch.op.to_string()
}

fn print(gpu: &Gpu, spec: &StepSpec, plan: bool, found: &Measured) {
    say(format_args!("{}", gpu.describe()));
    say(format_args!(
        "{} {}, batch {}: forward, loss, backward, update",
        spec.model,
        spec.norm.name(),
        spec.batch_size
    ));
    if plan {
        list(&found.launches);
    }
    let total: f64 = found.launches.iter().filter_map(|l| l.ms).sum();
    for (title, groups) in
        [("kernel", group(&found.launches, by_kernel)), ("op", group(&found.launches, by_op))]
    {
        table(title, &groups, total);
    }
    let (t, stats) = (&found.times, &found.stats);
    let per_image = t.wall.median / spec.batch_size as f64;
    say(format_args!(
        "\nstep      {:.2} ms median, {:.2} least of {} rounds of {}; {:.3} ms an image",
        t.wall.median, t.wall.min, t.rounds, t.repeats, per_image
    ));
    if let Some(cpu) = &t.cpu {
        say(format_args!(
            "          {:.2} ms median, {:.2} least of processor time over all threads",
            cpu.median, cpu.min
        ));
    }
    say(format_args!(
        "first     {:.0} ms to plan, {:.0} ms for the first step, {} pipelines",
        found.plan_ms, found.first_ms, found.pipelines
    ));
    say(format_args!(
        "work      {} dispatches, {:.3} GFLOP ({:.1} GFLOP/s), {} moved at least ({:.1} GB/s)",
        stats.dispatches,
        stats.cost.flops as f64 / 1e9,
        gflops(stats.cost.flops, t.wall.median),
        mib(stats.cost.read + stats.cost.written),
        gbytes(&stats.cost, t.wall.median)
    ));
    if let Some(share) = convolution_share(&found.launches) {
        say(format_args!(
            "share     convolution {:.1} %, everything else {:.1} % of the launches' {total:.2} ms",
            share * 100.0,
            (1.0 - share) * 100.0
        ));
    }
    say(format_args!(
        "memory    {} in the plan ({} alive at once, {} if nothing were shared), {} at most in all",
        mib(found.workspace_bytes),
        mib(stats.live),
        mib(stats.unshared),
        mib(found.peak_bytes)
    ));
}

fn list(launches: &[LaunchTime]) {
    say(format_args!(
        "\n{:>4} {:<32} {:<20} {:<44} {:>9} {:>9} {:>9}",
        "", "op", "shape", "kernel", "MFLOP", "KiB", "ms"
    ));
    for (i, l) in launches.iter().enumerate() {
        say(format_args!(
            "{:>4} {:<32} {:<20} {:<44} {:>9.2} {:>9.0} {:>9}",
            i,
            l.op,
            l.shape,
            by_kernel(l),
            l.cost.flops as f64 / 1e6,
            (l.cost.read + l.cost.written) as f64 / 1024.0,
            l.ms.map_or("-".into(), |ms| format!("{ms:.3}"))
        ));
    }
}

fn table(title: &str, groups: &[Group], total: f64) {
    say(format_args!(
        "\n{title:<44} {:>5} {:>9} {:>8} {:>9} {:>8}",
        "calls", "ms", "share", "GFLOP/s", "GB/s"
    ));
    for g in groups {
        let share = if total > 0.0 { g.ms / total * 100.0 } else { 0.0 };
        say(format_args!(
            "{:<44} {:>5} {:>9.3} {:>6.1} % {:>9.2} {:>8.2}",
            g.name,
            g.count,
            g.ms,
            share,
            gflops(g.cost.flops, g.ms),
            gbytes(&g.cost, g.ms)
        ));
    }
}

fn as_json(gpu: &Gpu, spec: &StepSpec, plan: bool, found: &Measured) -> Value {
    let groups = |all: Vec<Group>| -> Vec<Value> {
        let one = |g: &Group| {
            json!({"name": g.name, "calls": g.count, "ms": g.ms, "flops": g.cost.flops,
                "bytes_read": g.cost.read, "bytes_written": g.cost.written})
        };
        all.iter().map(one).collect()
    };
    let mut value = json!({
        "bench": "step",
        "device": gpu.describe(),
        "model": spec.model,
        "norm": spec.norm,
        "nbn_layers": spec.nbn_layers,
        "batch_size": spec.batch_size,
        "side": spec.side,
        "recompute": spec.recompute,
        "step_ms": found.times.wall,
        "step_cpu_ms": found.times.cpu,
        "rounds": found.times.rounds,
        "repeats": found.times.repeats,
        "plan_ms": found.plan_ms,
        "first_ms": found.first_ms,
        "dispatches": found.stats.dispatches,
        "pipelines": found.pipelines,
        "flops": found.stats.cost.flops,
        "bytes_read": found.stats.cost.read,
        "bytes_written": found.stats.cost.written,
        "convolution_share": convolution_share(&found.launches),
        "workspace_bytes": found.workspace_bytes,
        "live_bytes": found.stats.live,
        "unshared_bytes": found.stats.unshared,
        "peak_bytes": found.peak_bytes,
        "kernels": groups(group(&found.launches, by_kernel)),
        "kernels_made": gpu.kernels_made(),
        "ops": groups(group(&found.launches, by_op)),
    });
    if plan {
        let one = |l: &LaunchTime| {
            json!({"op": l.op, "shape": l.shape, "kernel": l.kernel, "ms": l.ms,
                "flops": l.cost.flops, "bytes_read": l.cost.read, "bytes_written": l.cost.written})
        };
        value["launches"] = found.launches.iter().map(one).collect();
    }
    value
}
