//! A checkpoint as `eval` and `predict` use it: the network it describes, with its parameters.
//!
//! evenkeel's checkpoints describe themselves; for one saved from PyTorch the network is given by
//! `--model`, `--norm`, `--nbn-layers` and `--head`.

use crate::data::{self, Splits};
use crate::error::{Error, Result, unknown};
use crate::gpu::Gpu;
use crate::loss::ObjectiveSpec;
use crate::optim::SgdOptions;
use crate::train::about::{About, at_file, floats};
use crate::train::calibration::{Calibration, META};
use crate::train::checkpoint::{Checkpoint, TensorData};
use crate::train::config::{BiasStart, Config, Head, Norm, Overrides};
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
    let mut about = match file.meta.get("about").map(|t| serde_json::from_str::<About>(t)) {
        Some(Ok(about)) => about,
        Some(Err(e)) => return Err(Error::data(path, format!("describes no network: {e}"))),
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
    let Some((shape, TensorData::F32(_))) = file.get("linear.weight") else {
        return Err(Error::data(path, "is no checkpoint of a CIFAR ResNet: no `linear.weight`"));
    };
    let has = |name: &str| file.get(name).is_some();
    let blocks = (0..).take_while(|i| has(&format!("layer1.{i}.conv1.weight"))).count();
    let known = crate::nn::MODELS.iter().find(|(_, n, _)| *n == blocks);
    let classes = shape.first().copied().unwrap_or(0);
    Ok(About {
        model: known.map_or("resnet32", |(name, ..)| name).to_string(),
        norm: if has(crate::nn::SCALE_FACTOR) { Norm::Nbn } else { Norm::Bn },
        nbn_layers: "last-stage".into(),
        head: if has("linear.bn.running_mean") { Head::Lr } else { Head::Linear },
        head_scale: 1.0,
        experts: 1,
        classes: (0..classes).map(|c| format!("class {c}")).collect(),
        counts: vec![0; classes],
        shape: [3, 32, 32],
        mean: crate::data::CIFAR_MEAN,
        std: crate::data::CIFAR_STD,
    })
}
