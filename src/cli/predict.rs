//! `evenkeel predict CHECKPOINT IMAGE…`: the most probable classes of each image.
//!
//! Files and folders → image files → [`CHUNK`] at a time: pixels → logits → softmax at the
//! checkpoint's temperature → a line each.

use super::loaded::{Loaded, Network, load};
use crate::data::{self, Dataset, images_under, load_images};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::train::calibration::probabilities;
use crate::train::device_set::DeviceSet;
use crate::train::progress::{say, tell};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A checkpoint of a run, or a PyTorch state dict saved as safetensors
    checkpoint: PathBuf,
    /// JPEG or PNG files, or folders of them (with the folders inside)
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Classes shown for each image
    #[arg(long, default_value_t = 3)]
    top: usize,
    /// Leave out files that cannot be read, instead of stopping
    #[arg(long)]
    skip_bad: bool,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object a line on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
}

/// Images classified at once, and images in memory at once.
const BATCH: usize = 64;
const CHUNK: usize = 8 * BATCH;

pub(super) fn run(args: &Args) -> Result<()> {
    let files = files(&args.images)?;
    let gpu = Gpu::open(args.device.as_deref())?;
    let mut loaded = load(&args.checkpoint, &gpu, &args.network)?;
    let [c, ..] = loaded.about.shape;
    if c != 3 {
        return Err(Error::Failure(format!("the network takes {c} channels, images have 3")));
    }
    if loaded.calibration.is_none() {
        tell(format_args!(
            "probabilities are not calibrated: {} has no temperature",
            args.checkpoint.display()
        ));
    }
    let mut classified = 0;
    for chunk in files.chunks(CHUNK) {
        classified += classify(chunk, args, &gpu, &mut loaded)?;
    }
    match classified {
        0 => Err(Error::Failure(format!("none of {} images could be read", files.len()))),
        _ => Ok(()),
    }
}

/// The image files that the arguments name.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let inside = images_under(path)?;
            if inside.is_empty() {
                return Err(Error::usage(format!(
                    "{}: no JPEG or PNG image in it",
                    path.display()
                )));
            }
            files.extend(inside);
        } else {
            std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Prints a line for each file; how many could be read.
fn classify(files: &[PathBuf], args: &Args, gpu: &Rc<Gpu>, loaded: &mut Loaded) -> Result<usize> {
    let about = loaded.about.clone();
    let [_, h, w] = about.shape;
    let margin = loaded.config.as_ref().map_or(1.0, |c| c.data.margin());
    let data::Loaded { pixels, kept, skipped } = load_images(files, [h, w], margin, args.skip_bad)?;
    for why in skipped {
        match args.json {
            true => say(format_args!("{}", json!({"error": why}))),
            false => tell(format_args!("left out {why}")),
        }
    }
    if kept.is_empty() {
        return Ok(0);
    }
    let set = Dataset {
        name: "images".into(),
        classes: about.classes.clone(),
        shape: about.shape,
        pixels,
        labels: vec![0; kept.len()],
        files: None,
        mean: about.mean,
        std: about.std,
    };
    let logits = loaded.session.logits(&DeviceSet::upload(gpu, &set)?, BATCH)?;
    let temperature = loaded.calibration.as_ref().map(|c| c.temperature);
    for (at, row) in kept.iter().zip(logits.chunks(about.classes.len())) {
        let path = &files[*at as usize];
        if let Some(z) = row.iter().find(|z| !z.is_finite()) {
            return Err(Error::data(path, format!("its logits hold {z}: the network is damaged")));
        }
        line(
            path,
            &probabilities(row, temperature.unwrap_or(1.0)),
            temperature,
            args,
            &about.classes,
        );
    }
    Ok(kept.len())
}

fn line(path: &Path, p: &[f64], temperature: Option<f64>, args: &Args, names: &[String]) {
    let mut ranked: Vec<usize> = (0..p.len()).collect();
    ranked.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let top = &ranked[..args.top.clamp(1, ranked.len())];
    if args.json {
        let classes: Vec<_> = top
            .iter()
            .map(|c| json!({"class": names[*c], "index": c, "probability": p[*c]}))
            .collect();
        let image = path.display().to_string();
        say(format_args!(
            "{}",
            json!({"image": image, "classes": classes, "temperature": temperature})
        ));
    } else {
        let text: Vec<String> =
            top.iter().map(|c| format!("{} {:.1} %", names[*c], p[*c] * 100.0)).collect();
        say(format_args!("{}: {}", path.display(), text.join(", ")));
    }
}
