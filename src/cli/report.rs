//! `evenkeel report DIR [DIR2]`: the page about one run, or about two beside each other.

use super::loaded::{Network, load};
use crate::data;
use crate::error::{Error, Result, unknown};
use crate::gpu::Gpu;
use crate::report::{Run, checkpoints, write};
use crate::train::device_set::DeviceSet;
use crate::train::features::{self, Features};
use crate::train::progress::say;
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's folder, or two: report.html is written into the first
    #[arg(required = true, num_args = 1..=2)]
    runs: Vec<PathBuf>,
    /// Classes whose test images are shown, by name or number; measures feature strength anew
    #[arg(long, value_delimiter = ',', value_name = "CLASS,…")]
    classes: Vec<String>,
    /// Read files only: no device, no feature strength that isn't there yet
    #[arg(long, conflicts_with = "classes")]
    no_features: bool,
    /// Adapter for feature strength, by number or part of its name
    #[arg(long)]
    device: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut runs = args.runs.iter().map(|r| Run::read(r)).collect::<Result<Vec<_>>>()?;
    for run in &mut runs {
        let wanted = !args.classes.is_empty() || run.features.is_none();
        if args.no_features || !wanted || run.about.is_none() {
            continue;
        }
        match measure(run, args) {
            Ok(found) => run.features = Some(found),
            Err(e @ (Error::Usage(_) | Error::Shape { .. })) if !args.classes.is_empty() => {
                return Err(e);
            }
            Err(e) => run.notes.push(format!("No feature strength: {e}.")),
        }
    }
    let path = write(&mut runs)?;
    for note in runs.iter().flat_map(|r| &r.notes) {
        eprintln!("note: {note}");
    }
    say(format_args!("{}", path.display()));
    Ok(())
}

/// Puts the run's network and test set on a device and measures.
fn measure(run: &Run, args: &Args) -> Result<Features> {
    let about = run.about.as_ref().ok_or_else(|| Error::usage("the run has no checkpoint"))?;
    let config = run.config.as_ref().ok_or_else(|| Error::usage("the run has no recipe"))?;
    let chosen =
        args.classes.iter().map(|c| class(c, &about.classes)).collect::<Result<Vec<_>>>()?;
    let splits = data::load(&config.data)?;
    if splits.test.classes != about.classes {
        return Err(Error::usage("the data set's classes are no longer those of the checkpoint"));
    }
    let gpu = Gpu::open(args.device.as_deref())?;
    let path = checkpoints(&run.path).into_iter().find(|p| load_ok(p, run)).ok_or_else(|| {
        Error::Failure(format!("{}: the checkpoint has changed meanwhile", run.path.display()))
    })?;
    let mut loaded = load(&path, &gpu, &Network::default())?;
    let (batch, step) = (config.train.batch_size, run.step.unwrap_or(0));
    let set = DeviceSet::for_batches(&gpu, &splits.test, batch)?;
    let data = (&splits.test, &set);
    let found =
        features::measure(&mut loaded.session, data, &about.counts, (batch, step), &chosen)?;
    // Chosen pictures are for this page alone.
    if chosen.is_empty() {
        found.save(&run.path)?;
    }
    Ok(found)
}

/// Whether the checkpoint at `path` is the one that the run was read from.
fn load_ok(path: &std::path::Path, run: &Run) -> bool {
    let position = crate::train::checkpoint::Checkpoint::load_own(path).ok().and_then(|file| {
        serde_json::from_str::<crate::train::about::Position>(file.meta.get("position")?).ok()
    });
    position.map(|p| p.step) == run.step
}

fn class(text: &str, names: &[String]) -> Result<usize> {
    if let Some(found) = names.iter().position(|n| n == text) {
        return Ok(found);
    }
    text.parse().ok().filter(|i| *i < names.len()).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        unknown("class", text, &names)
    })
}
