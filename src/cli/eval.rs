//! `evenkeel eval CHECKPOINT`: accuracy on a test set, by class and by training count.

use super::loaded::{Network, load};
use crate::data;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::train::config::{Config, Overrides};
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
    /// Data set, where not the one of the run
    #[arg(long)]
    dataset: Option<String>,
    /// Its folder or list file
    #[arg(long)]
    data: Option<PathBuf>,
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
    let mut config = match (&loaded.config, &args.dataset) {
        (Some(config), _) => config.clone(),
        (None, Some(_)) => Config::default(),
        (None, None) => {
            return Err(Error::usage(
                "this checkpoint doesn't say what it was trained on: give --dataset and --data",
            ));
        }
    };
    config.apply(&Overrides {
        dataset: args.dataset.clone(),
        data: args.data.as_ref().map(|p| p.display().to_string()),
        ..Overrides::default()
    })?;
    config.train.init = None;
    config.validate()?;
    let splits = data::load(&config.data)?;
    if splits.test.classes.len() != loaded.about.classes.len() {
        return Err(Error::usage(format!(
            "the checkpoint knows {} classes, the data set has {}",
            loaded.about.classes.len(),
            splits.test.classes.len()
        )));
    }
    if let Some(path) = &args.logits {
        let some: Vec<u32> = (0..args.images.min(splits.test.labels.len()) as u32).collect();
        let set = DeviceSet::upload(&gpu, &splits.test.select(&some))?;
        let logits = loaded.session.logits(&set, args.batch_size)?;
        let mut file = crate::train::checkpoint::Checkpoint::default();
        let shape = [some.len(), loaded.about.classes.len()];
        file.push("logits", &shape, crate::train::checkpoint::TensorData::F32(logits));
        file.save(path)?;
    }
    let test = DeviceSet::upload(&gpu, &splits.test)?;
    let predicted = loaded.session.classify(&test, args.batch_size)?;
    let mut confusion = Confusion::new(loaded.about.classes.len());
    for (p, truth) in predicted.iter().zip(&splits.test.labels) {
        confusion.add(*truth as usize, *p as usize)?;
    }
    let known = loaded.about.counts.iter().any(|c| *c > 0);
    let counts = if known { &loaded.about.counts } else { &splits.counts };
    let summary = confusion.summary(counts)?;
    if args.json {
        say(format_args!(
            "{}",
            json!({
                "checkpoint": args.checkpoint, "images": test.len(), "test": summary,
                "confusion": confusion.counts(), "classes": loaded.about.classes,
            })
        ));
    } else {
        say(format_args!("{}", summary.table(&splits.test.classes, counts)));
    }
    Ok(())
}
