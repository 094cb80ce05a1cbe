//! A checkpoint as `eval` and `predict` use it: the network it describes, with its parameters.
//!
//! evenkeel's checkpoints describe themselves; for one saved from PyTorch the network is given by
//! `--model`, `--norm`, `--nbn-layers` and `--head`.

use crate::data::{self, Splits};
use crate::data::{CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD};
use crate::error::{Error, Result, unknown};
use crate::gpu::Gpu;
use crate::loss::ObjectiveSpec;
use crate::nn::{Arch, BlockKind, MODELS};
use crate::optim::SgdOptions;
use crate::train::about::{About, at_file, floats};
use crate::train::calibration::{Calibration, META};
use crate::train::checkpoint::{Checkpoint, TensorData};
use crate::train::config::{
    BiasStart, Branches, Combine, Config, Head, Norm, Overrides, WeightNorm,
};
use crate::train::session::Session;
use std::path::Path;
use std::rc::Rc;

/// Flags that describe the network of a checkpoint that doesn't describe itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Network {
    /// Network of a checkpoint that doesn't say (one from PyTorch)
    #[arg(long)]
    pub model: Option<String>,
    /// Its normalization: bn or nbn
    #[arg(long)]
    pub norm: Option<String>,
    /// Its normalized layers
    #[arg(long)]
    pub nbn_layers: Option<String>,
    /// Its head: linear, lr, cosine, lws or disalign
    #[arg(long)]
    pub head: Option<String>,
}

/// A checkpoint with its network on the device.
pub struct Loaded {
    /// What the checkpoint says of itself.
    pub about: About,
    /// The recipe it was trained with, if it says.
    pub config: Option<Config>,
    /// Its temperature, if it has one.
    pub calibration: Option<Calibration>,
    /// The network.
    pub session: Session,
}

/// Flags that say on which images.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Images {
    /// Data set, where not the one of the run
    #[arg(long)]
    dataset: Option<String>,
    /// Its folder or list file
    #[arg(long)]
    data: Option<std::path::PathBuf>,
}

impl Loaded {
    /// The data of the run, or what the flags name; with as many classes as the network.
    ///
    /// # Errors
    /// A checkpoint that names no data; other classes; data that cannot be read.
    pub fn splits(&self, images: &Images) -> Result<Splits> {
        let mut config = match (&self.config, &images.dataset) {
            (Some(config), _) => config.clone(),
            (None, Some(_)) => Config::default(),
            (None, None) => {
                return Err(Error::usage(
                    "this checkpoint doesn't say what it was trained on: give --dataset and --data",
                ));
            }
        };
        config.apply(&Overrides {
            dataset: images.dataset.clone(),
            data: images.data.as_ref().map(|p| p.display().to_string()),
            ..Overrides::default()
        })?;
        // The data alone: what else the run needed, such as its first stage's checkpoint, may be gone.
        Config { data: config.data.clone(), ..Config::default() }.validate()?;
        let splits = data::load(&config.data)?;
        match (splits.test.classes.len(), self.about.classes.len()) {
            (found, known) if found != known => Err(Error::usage(format!(
                "the checkpoint knows {known} classes, the data set has {found}"
            ))),
            _ => Ok(splits),
        }
    }
}

/// Reads `path` and puts its network on `gpu`.
///
/// # Errors
/// A file that is no checkpoint, or doesn't fit the network.
pub fn load(path: &Path, gpu: &Rc<Gpu>, network: &Network) -> Result<Loaded> {
    let file = Checkpoint::load(path)?;
    let mut about = match About::read(&file, path)? {
        Some(about) => about,
        None => foreign(path, &file)?,
    };
    if let Some(model) = &network.model {
        about.model.clone_from(model);
    }
    if let Some(layers) = &network.nbn_layers {
        about.nbn_layers.clone_from(layers);
    }
    if let Some(norm) = &network.norm {
        about.norm = Norm::parse(norm).ok_or_else(|| unknown("norm", norm, Norm::NAMES))?;
    }
    if let Some(head) = &network.head {
        about.head = Head::parse(head).ok_or_else(|| unknown("head", head, Head::NAMES))?;
    }
    let config = file.meta.get("config").and_then(|t| Config::from_toml_str(t).ok());
    let calibration = match file.meta.get(META).map(|t| serde_json::from_str(t)) {
        Some(Ok(calibration)) => Some(calibration),
        Some(Err(e)) => return Err(Error::data(path, format!("holds no calibration: {e}"))),
        None => None,
    };
    let spec = about.spec(BiasStart::Zero)?;
    let session = Session::new(gpu, &spec, &ObjectiveSpec::default(), SgdOptions::default(), 0)?;
    session.params.import(&floats(&file)).map_err(|e| at_file(path, e))?;
    Ok(Loaded { about, config, calibration, session })
}

/// What can be read off a state dict: the classes from the head, NBN and LR from their names, the
/// model from its blocks.
fn foreign(path: &Path, file: &Checkpoint) -> Result<About> {
    let has = |name: &str| file.get(name).is_some();
    let imagenet = has("fc.weight");
    let head = if imagenet { "fc.weight" } else { "linear.weight" };
    let Some((shape, TensorData::F32(_))) = file.get(head) else {
        let why = "is no checkpoint of a ResNet: neither `linear.weight` nor `fc.weight`";
        return Err(Error::data(path, why));
    };
    let stage = |s: usize| (0..).take_while(|i| has(&format!("layer{s}.{i}.conv1.weight"))).count();
    let blocks: Vec<usize> = (1..).map(stage).take_while(|n| *n > 0).collect();
    let across = file.get("layer1.0.conv2.weight").map(|(shape, _)| shape);
    let grouped = across.is_some_and(|shape| shape[0] != shape[1]);
    let fits = |arch: &&Arch| {
        arch.blocks == blocks
            && match arch.kind {
                BlockKind::Padded => !imagenet,
                BlockKind::Basic => imagenet && !has("layer1.0.conv3.weight"),
                BlockKind::Bottleneck { groups, .. } => {
                    has("layer1.0.conv3.weight") && grouped == (groups > 1)
                }
            }
    };
    let known = MODELS.iter().find(fits);
    let classes = shape.first().copied().unwrap_or(0);
    let (side, mean, std) =
        if imagenet { (224, IMAGENET_MEAN, IMAGENET_STD) } else { (32, CIFAR_MEAN, CIFAR_STD) };
    let lr = has("linear.bn.running_mean") || has("fc.bn.running_mean");
    Ok(About {
        model: known.map_or("resnet32", |arch| arch.name).to_string(),
        norm: if has(crate::nn::SCALE_FACTOR) { Norm::Nbn } else { Norm::Bn },
        nbn_layers: "last-stage".into(),
        weight_norm: WeightNorm::None,
        head: if lr { Head::Lr } else { Head::Linear },
        head_scale: 1.0,
        experts: 1,
        projected: 0,
        prototypes: true,
        branches: Branches::Late,
        combine: Combine::Mean,
        classes: (0..classes).map(|c| format!("class {c}")).collect(),
        counts: vec![0; classes],
        shape: [3, side, side],
        mean,
        std,
    })
}
