//! `evenkeel eval CHECKPOINT`: accuracy on a test set, by class and by training count, and how far
//! probabilities are from it, before and after calibration.

use super::loaded::{Images, Network, load};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::train::calibration::{Logits, Quality};
use crate::train::checkpoint::{Checkpoint, TensorData};
use crate::train::device_set::DeviceSet;
use crate::train::metrics::Confusion;
use crate::train::progress::say;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A checkpoint of a run, or a PyTorch state dict saved as safetensors
    checkpoint: PathBuf,
    #[command(flatten)]
    data: Images,
    /// Images at once
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// Write the logits of the first N test images to FILE.safetensors as `logits`
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
    /// How many images --logits takes
    #[arg(long, default_value_t = 64)]
    images: usize,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.batch_size == 0 {
        return Err(Error::usage("--batch-size must be at least 1"));
    }
    let gpu = Gpu::open(args.device.as_deref())?;
    let mut loaded = load(&args.checkpoint, &gpu, &args.network)?;
    let splits = loaded.splits(&args.data)?;
    let (classes, names) = (loaded.about.classes.len(), &loaded.about.classes);
    let test = DeviceSet::for_batches(&gpu, &splits.test, args.batch_size)?;
    let values = loaded.session.logits(&test, args.batch_size)?;
    if let Some(path) = &args.logits {
        let some = args.images.min(test.len());
        let mut file = Checkpoint::default();
        file.push("logits", &[some, classes], TensorData::F32(values[..some * classes].to_vec()));
        file.save(path)?;
    }
    let logits = Logits::new(&values, &splits.test.labels, classes)?;
    let mut confusion = Confusion::new(classes);
    for (truth, predicted) in splits.test.labels.iter().zip(logits.predicted()) {
        confusion.add(*truth as usize, predicted)?;
    }
    let known = loaded.about.counts.iter().any(|c| *c > 0);
    let counts = if known { &loaded.about.counts } else { &splits.counts };
    let summary = confusion.summary(counts)?;
    let before = logits.quality(1.0)?;
    let fitted = loaded.calibration.as_ref();
    let after = fitted.map(|c| logits.quality(c.temperature)).transpose()?;
    if args.json {
        say(format_args!(
            "{}",
            json!({
                "checkpoint": args.checkpoint.display().to_string(), "images": test.len(),
                "test": summary, "confusion": confusion.counts(), "classes": names,
                "uncalibrated": before, "calibrated": after, "calibration": fitted,
            })
        ));
        return Ok(());
    }
    say(format_args!("{}", summary.table(&splits.test.classes, counts)));
    let show = |q: Quality| format!("NLL {:.4}, ECE {:.1} %", q.nll, 100.0 * q.ece);
    match (fitted, after) {
        (Some(c), Some(after)) => say(format_args!(
            "probabilities: {}; at temperature {:.3}, fitted on {} {}: {}",
            show(before),
            c.temperature,
            c.images,
            c.fitted_on.describe(),
            show(after)
        )),
        _ => say(format_args!(
            "probabilities: {}; not calibrated (`evenkeel calibrate` fits a temperature)",
            show(before)
        )),
    }
    Ok(())
}
