//! `evenkeel calibrate CHECKPOINT`: fits a temperature and keeps it in the checkpoint. `train` does so
//! at its end; this is for a checkpoint of a run that was broken off, or for other images.

use super::loaded::{Images, Network, load};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::train::calibration::{Calibration, FittedOn, Logits, META};
use crate::train::checkpoint::Checkpoint;
use crate::train::device_set::DeviceSet;
use crate::train::progress::say;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A checkpoint of a run; it is written anew
    checkpoint: PathBuf,
    #[command(flatten)]
    data: Images,
    /// Images at once
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.batch_size == 0 {
        return Err(Error::usage("--batch-size must be at least 1"));
    }
    let mut file = Checkpoint::load_own(&args.checkpoint)?;
    let gpu = Gpu::open(args.device.as_deref())?;
    let mut loaded = load(&args.checkpoint, &gpu, &Network::default())?;
    let splits = loaded.splits(&args.data)?;
    let held_out = loaded.config.as_ref().is_some_and(|c| c.data.holdout > 0.0);
    let (set, from) = match &splits.val {
        Some(val) if held_out => (val, FittedOn::HeldOut),
        Some(val) => (val, FittedOn::Validation),
        None => (&splits.test, FittedOn::Test),
    };
    let values = loaded
        .session
        .logits(&DeviceSet::for_batches(&gpu, set, args.batch_size)?, args.batch_size)?;
    let logits = Logits::new(&values, &set.labels, loaded.about.classes.len())?;
    let fitted = Calibration::fit(&logits, from)?
        .map_err(|why| Error::Failure(format!("no temperature was fitted: {why}")))?;
    let text =
        serde_json::to_string(&fitted).map_err(|e| Error::Failure(format!("{META}: {e}")))?;
    file.meta.insert(META.into(), text);
    file.save(&args.checkpoint)?;
    match args.json {
        true => say(format_args!("{}", json!(fitted))),
        false => say(format_args!("{}", fitted.line())),
    }
    Ok(())
}
