//! `evenkeel inspect step`: plans a training step on made-up images, times each launch by timestamps,
//! and writes it as a table, a graph (SVG) and a trace (Chrome's JSON, for Perfetto).

use crate::data::Dataset;
use crate::error::{Error, Result, unknown};
use crate::gpu::{Gpu, StepUniform};
use crate::nn::{BiasStart, Head, NormKind, NormLayers, Norms, Spec};
use crate::optim::SgdOptions;
use crate::report::number;
use crate::report::step::{self, Launched};
use crate::train::atomic::write_atomic;
use crate::train::device_set::DeviceSet;
use crate::train::progress::say;
use crate::train::session::{LossSpec, Session};
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
    let kind = match args.norm.as_str() {
        "bn" => NormKind::Bn,
        "nbn" => NormKind::Nbn,
        other => return Err(unknown("norm", other, &["bn", "nbn"])),
    };
    let gpu = Gpu::open(args.device.as_deref())?;
    let spec = Spec {
        model: &args.model,
        classes: CLASSES,
        head: Head::Linear,
        norms: Norms::new(kind, NormLayers::LastStage, BiasStart::Zero),
    };
    let sgd = SgdOptions {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 2e-4,
        spare_scale_factor: false,
    };
    let mut session = Session::new(&gpu, &spec, &LossSpec::default(), sgd, 0)?;
    let set = DeviceSet::upload(&gpu, &images(args.batch_size))?;
    let plan = session.train_plan(&set, args.batch_size, true)?;
    // The first run compiles what the driver put off. A rate of 0 keeps the weights.
    let uniform = StepUniform::default();
    plan.run(&uniform)?;
    gpu.wait()?;
    let mut times: Vec<f64> = Vec::new();
    if gpu.timestamps {
        for _ in 0..args.rounds {
            let found = plan.profile(&uniform)?;
            times = match times.is_empty() {
                true => found,
                false => times.iter().zip(found).map(|(a, b)| a.min(b)).collect(),
            };
        }
    }
    let launches = step::launches(plan.steps(), &times);
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

/// Images of noise: what a step costs doesn't depend on what they show.
fn images(n: usize) -> Dataset {
    let pixels =
        (0..n * 3 * 32 * 32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    Dataset {
        name: "noise".into(),
        classes: (0..CLASSES).map(|c| format!("class {c}")).collect(),
        shape: [3, 32, 32],
        pixels,
        labels: (0..n).map(|i| (i % CLASSES) as u32).collect(),
        mean: crate::data::CIFAR_MEAN,
        std: crate::data::CIFAR_STD,
    }
}
