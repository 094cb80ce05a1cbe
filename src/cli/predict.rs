//! `evenkeel predict CHECKPOINT IMAGE…`: the most probable classes of each image.

use super::loaded::{Network, load};
use crate::data::{Dataset, load_image};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::train::device_set::DeviceSet;
use crate::train::progress::say;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A checkpoint of a run, or a PyTorch state dict saved as safetensors
    checkpoint: PathBuf,
    /// JPEG or PNG files
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Classes shown for each image
    #[arg(long, default_value_t = 3)]
    top: usize,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object a line on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
}

/// Images classified at once.
const BATCH: usize = 64;

pub(super) fn run(args: &Args) -> Result<()> {
    let gpu = Gpu::open(args.device.as_deref())?;
    let mut loaded = load(&args.checkpoint, &gpu, &args.network)?;
    let about = loaded.about.clone();
    let [c, h, w] = about.shape;
    if c != 3 {
        return Err(Error::Failure(format!("the network takes {c} channels, images have 3")));
    }
    let mut pixels = Vec::new();
    for path in &args.images {
        pixels.extend(load_image(path, [h, w])?);
    }
    let set = Dataset {
        name: "images".into(),
        classes: about.classes.clone(),
        shape: about.shape,
        pixels,
        labels: vec![0; args.images.len()],
        mean: about.mean,
        std: about.std,
    };
    let set = DeviceSet::upload(&gpu, &set)?;
    let logits = loaded.session.logits(&set, BATCH)?;
    for (path, row) in args.images.iter().zip(logits.chunks(about.classes.len())) {
        let ranked = probabilities(row);
        let top = &ranked[..args.top.clamp(1, ranked.len())];
        if args.json {
            let classes: Vec<_> = top
                .iter()
                .map(|(c, p)| json!({"class": about.classes[*c], "index": c, "probability": p}))
                .collect();
            say(format_args!("{}", json!({"image": path, "classes": classes})));
        } else {
            let text: Vec<String> = top
                .iter()
                .map(|(c, p)| format!("{} {:.1} %", about.classes[*c], p * 100.0))
                .collect();
            say(format_args!("{}: {}", path.display(), text.join(", ")));
        }
    }
    Ok(())
}

/// Softmax of a row, most probable first.
fn probabilities(row: &[f32]) -> Vec<(usize, f64)> {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = row.iter().map(|z| f64::from(z - most).exp()).collect();
    let sum: f64 = exp.iter().sum();
    let mut ranked: Vec<(usize, f64)> = exp.iter().map(|e| e / sum).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}
