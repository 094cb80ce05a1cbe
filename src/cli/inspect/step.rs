//! `evenkeel inspect step`: plans a training step on made-up images, times each launch by timestamps,
//! and writes it as a table, a graph (SVG) and a trace (Chrome's JSON, for Perfetto).

use crate::bench::step::{StepJob, StepSpec};
use crate::error::{Error, Result, unknown};
use crate::gpu::Gpu;
use crate::report::number;
use crate::report::step::{self, Launched};
use crate::train::atomic::write_atomic;
use crate::train::config::{Activations, Norm, Precision};
use crate::train::progress::say;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `inspect step`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Network
    #[arg(long, default_value = "small")]
    model: String,
    /// Normalization: bn or nbn
    #[arg(long, default_value = "nbn")]
    norm: String,
    /// Images in a step
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Write the graph there
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the trace there; open it at ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Times measured, of which each launch's least is kept
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object a launch instead of the table
    #[arg(long)]
    json: bool,
}

/// Classes of the made-up images.
const CLASSES: usize = 10;
/// The largest batch that is asked for.
const LARGEST: usize = 1 << 16;

pub(super) fn run(args: &Args) -> Result<()> {
    if args.batch_size == 0 || args.batch_size > LARGEST || args.rounds == 0 {
        return Err(Error::usage(format!(
            "--batch-size must be 1 to {LARGEST} and --rounds at least 1"
        )));
    }
    let norm = match args.norm.as_str() {
        "bn" => Norm::Bn,
        "nbn" => Norm::Nbn,
        other => return Err(unknown("norm", other, &["bn", "nbn"])),
    };
    let gpu = Gpu::open(args.device.as_deref())?;
    let mut job = StepJob::new(
        &gpu,
        &StepSpec {
            model: args.model.clone(),
            batch_size: args.batch_size,
            norm,
            nbn_layers: "last-stage".into(),
            classes: CLASSES,
            side: 32,
            recompute: false,
            activations: Activations::F32,
            precision: Precision::F32,
        },
    )?;
    // The first run compiles what the driver put off.
    job.run(1)?;
    let least = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a.min(b)).collect();
    let times = job.profiles(args.rounds)?.into_iter().reduce(least).unwrap_or_default();
    let launches = step::launches(job.plan()?.steps(), &times);
    let device = gpu.describe();
    let title = format!(
        "{}, {}, {} images: {} launches",
        args.model,
        args.norm,
        args.batch_size,
        launches.len()
    );
    if let Some(path) = &args.svg {
        write_atomic(path, step::svg(&launches, &title).into_string().as_bytes())?;
    }
    if let Some(path) = &args.trace {
        if times.is_empty() {
            return Err(Error::Device(format!("{device} has no timestamps, so there is no trace")));
        }
        write_atomic(path, step::trace(&launches, &device).to_string().as_bytes())?;
    }
    if args.json {
        for l in &launches {
            say(format_args!("{}", object(l)));
        }
        return Ok(());
    }
    say(format_args!("{title}\n{device}"));
    table(&launches);
    for path in args.svg.iter().chain(&args.trace) {
        say(format_args!("{}", path.display()));
    }
    Ok(())
}

fn object(l: &Launched) -> serde_json::Value {
    json!({
        "op": l.op, "shape": l.shape, "kernel": l.kernel, "flops": l.cost.flops,
        "bytes_read": l.cost.read, "bytes_written": l.cost.written,
        "nanoseconds": l.nanoseconds, "reads": l.reads,
    })
}

/// By op, the longest first.
fn table(launches: &[Launched]) {
    let mut ops: Vec<(&str, usize, f64, u64, u64)> = Vec::new();
    for l in launches {
        let time = l.nanoseconds.unwrap_or(0.0);
        match ops.iter_mut().find(|o| o.0 == l.op) {
            Some(o) => *o = (o.0, o.1 + 1, o.2 + time, o.3 + l.cost.flops, o.4 + l.bytes()),
            None => ops.push((&l.op, 1, time, l.cost.flops, l.bytes())),
        }
    }
    ops.sort_by(|a, b| b.2.total_cmp(&a.2));
    let total: f64 = ops.iter().map(|o| o.2).sum();
    say(format_args!(
        "{:<32} {:>8} {:>9} {:>7} {:>10} {:>9}",
        "op", "launches", "ms", "share", "MFLOP", "MiB"
    ));
    for (op, n, time, flops, bytes) in ops {
        say(format_args!(
            "{op:<32} {n:>8} {:>9} {:>5.1} % {:>10} {:>9}",
            number(time / 1e6),
            100.0 * time / total.max(1.0),
            number(flops as f64 / 1e6),
            number(bytes as f64 / f64::from(1 << 20))
        ));
    }
}
