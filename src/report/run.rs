//! A run's folder as the report sees it: recipe, lines of `metrics.jsonl`, the newest checkpoint that is
//! whole, feature strengths. What is missing or broken becomes a note, and the rest is read.

use crate::error::{Error, Result};
use crate::nn::{Builder, Named, ResNet};
use crate::train::about::{About, Position, floats};
use crate::train::checkpoint::Checkpoint;
use crate::train::config::{BiasStart, Config};
use crate::train::features::Features;
use crate::train::inside::{self, AffineOf, Inside, LayerInside};
use crate::train::metrics::{Mistakes, Summary};
use crate::train::run_dir::{RunDir, read_metrics};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One line of `metrics.jsonl`; what an older run didn't write is absent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Epoch {
    /// From 0.
    pub epoch: u32,
    /// Optimizer steps at its end.
    pub step: u32,
    /// Learning rate.
    pub lr: f64,
    /// Mean training loss.
    pub loss: f64,
    /// Share of training images classified right while training.
    pub train_accuracy: f64,
    /// Training images a second.
    #[serde(default)]
    pub images_per_second: Option<f64>,
    /// The most GPU memory so far, in bytes.
    #[serde(default)]
    pub gpu_bytes_peak: Option<u64>,
    /// The device.
    #[serde(default)]
    pub device: Option<String>,
    /// The evaluation, where there was one.
    #[serde(default)]
    pub test: Option<Summary>,
    /// Its mistakes.
    #[serde(default)]
    pub confusion: Option<Mistakes>,
    /// The network's inside.
    #[serde(default)]
    pub inside: Option<Inside>,
}

/// What could be read of a run.
#[derive(Debug, Default)]
pub struct Run {
    /// The folder.
    pub path: PathBuf,
    /// A short name: the norm, or the folder's name where two runs share it.
    pub name: String,
    /// The recipe.
    pub config: Option<Config>,
    /// What the checkpoint says of its network.
    pub about: Option<About>,
    /// Optimizer steps behind the checkpoint.
    pub step: Option<u32>,
    /// The epochs' lines.
    pub epochs: Vec<Epoch>,
    /// The checkpoint's batch norms, with effective weights and biases.
    pub affines: Vec<AffineOf>,
    /// Their spreads, and angles to the first directions.
    pub layers: Vec<LayerInside>,
    /// The checkpoint's α.
    pub alpha: Option<f64>,
    /// Feature strengths of the checkpoint's network.
    pub features: Option<Features>,
    /// What is missing or broken, in words.
    pub notes: Vec<String>,
}

/// The checkpoints of a folder, newest first.
pub fn checkpoints(folder: &Path) -> [PathBuf; 2] {
    ["last", "previous"].map(|n| folder.join(format!("checkpoint/{n}.safetensors")))
}

impl Run {
    /// Reads what there is in `folder`.
    ///
    /// # Errors
    /// A folder in which nothing of a run can be read.
    pub fn read(folder: &Path) -> Result<Run> {
        if !folder.is_dir() {
            let path = folder.display();
            return Err(Error::usage(format!("{path}: no such folder; give a run's folder")));
        }
        let mut run = Run { path: folder.to_path_buf(), ..Run::default() };
        match RunDir::peek_config(folder) {
            Ok(config) => run.config = Some(config),
            Err(e) => run.notes.push(format!("No recipe: {e}.")),
        }
        run.read_epochs();
        run.read_checkpoint();
        if run.config.is_none() && run.epochs.is_empty() && run.about.is_none() {
            let path = folder.display();
            return Err(Error::usage(format!("{path}: holds no run: {}", run.notes.join(" "))));
        }
        run.name = match (&run.about, &run.config) {
            (Some(about), _) => about.norm.name().to_uppercase(),
            (None, Some(config)) => config.model.norm.name().to_uppercase(),
            _ => run.folder_name(),
        };
        Ok(run)
    }

    /// The folder's last part.
    pub fn folder_name(&self) -> String {
        let whole = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        whole.file_name().map_or_else(|| "run".into(), |n| n.to_string_lossy().into_owned())
    }

    fn read_epochs(&mut self) {
        let rows = match read_metrics(&self.path) {
            Ok(rows) => rows,
            Err(e) => {
                self.notes.push(format!("No curves: {e}."));
                return;
            }
        };
        if rows.is_empty() {
            self.notes.push("No curves: metrics.jsonl holds no finished epoch.".into());
        }
        for (i, row) in rows.into_iter().enumerate() {
            match serde_json::from_value(row) {
                Ok(epoch) => self.epochs.push(epoch),
                Err(e) => self.notes.push(format!("metrics.jsonl, line {}, left out: {e}.", i + 1)),
            }
        }
        let planned = self.config.as_ref().map(|c| c.train.epochs as u32);
        let done = self.epochs.last().map(|e| e.epoch + 1);
        if let (Some(done), Some(planned)) = (done, planned)
            && done < planned
        {
            self.notes.push(format!("The run is not finished: {done} of {planned} epochs."));
        }
        if !self.epochs.is_empty() && self.epochs.iter().all(|e| e.inside.is_none()) {
            self.notes.push("metrics.jsonl says nothing of the layers over time.".into());
        }
    }

    fn read_checkpoint(&mut self) {
        let mut reasons = Vec::new();
        for path in checkpoints(&self.path) {
            match read_network(&path) {
                Ok(network) => {
                    self.notes.extend(reasons.iter().map(|r| format!("{r}.")));
                    return self.take(network);
                }
                Err(_) if !path.exists() => {}
                Err(e) => reasons.push(e.to_string()),
            }
        }
        let why = if reasons.is_empty() { "none was saved yet".into() } else { reasons.join("; ") };
        self.notes.push(format!("No checkpoint, so no weights, biases or features: {why}."));
    }

    fn take(&mut self, network: Network) {
        let first = Checkpoint::load_own(&self.path.join(inside::FIRST));
        if first.is_err() {
            self.notes.push("First directions were not noted, so no angles.".into());
        }
        let first = first.map(|file| floats(&file)).unwrap_or_default();
        self.affines = inside::affines(&network.model, &network.tensors);
        self.layers = inside::layers(&self.affines, &first);
        self.alpha = inside::alpha(&network.tensors);
        self.step = network.step;
        self.features = Features::load(&self.path).filter(|f| Some(f.step) == network.step);
        self.about = Some(network.about);
    }

    /// The newest evaluation with its epoch.
    pub fn tested(&self) -> Option<(&Epoch, &Summary)> {
        self.epochs.iter().rev().find_map(|e| Some((e, e.test.as_ref()?)))
    }

    /// Class names and training counts; numbers and nothing without a checkpoint.
    pub fn classes(&self) -> (Vec<String>, Vec<usize>) {
        if let Some(about) = &self.about {
            return (about.classes.clone(), about.counts.clone());
        }
        let n = self.tested().map_or(0, |(_, s)| s.per_class.len());
        ((0..n).map(|c| format!("class {c}")).collect(), Vec::new())
    }
}

/// A checkpoint's network without a device.
struct Network {
    about: About,
    model: ResNet,
    tensors: Vec<Named>,
    step: Option<u32>,
}

fn read_network(path: &Path) -> Result<Network> {
    let file = Checkpoint::load_own(path)?;
    let about = About::read(&file, path)?
        .ok_or_else(|| Error::data(path, "doesn't say what network it holds"))?;
    let model = ResNet::new(&mut Builder::default(), &about.spec(BiasStart::Zero)?)?;
    let position = file.meta.get("position").and_then(|p| serde_json::from_str::<Position>(p).ok());
    Ok(Network { about, model, tensors: floats(&file), step: position.map(|p| p.step) })
}
