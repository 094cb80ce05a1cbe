//! What came of the runs of a comparison: each finished one's numbers from its `metrics.jsonl`, and of a recipe's runs
//! mean and standard deviation.

use super::{Job, differences};
use crate::error::{Error, Result};
use crate::train::about::About;
use crate::train::checkpoint::Checkpoint;
use crate::train::recipes::{self, Method};
use crate::train::run_dir::read_metrics;
use crate::train::stages;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// Mean and standard deviation of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (n − 1); none of one run.
    pub std: Option<f64>,
}

impl Spread {
    /// Of these values; none without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        Some(Spread { mean, std: (values.len() > 1).then(|| (square / (n - 1.0)).sqrt()) })
    }
}

/// A finished run. Accuracies are shares of 1.
#[derive(Clone, Debug, Serialize)]
pub struct Finished {
    /// Its recipe's name.
    pub recipe: String,
    /// Its seed.
    pub seed: u64,
    /// Its length.
    pub epochs: usize,
    /// Accuracy over all test images.
    pub overall: Option<f64>,
    /// Over the classes of more than 100 training images.
    pub many: Option<f64>,
    /// Of 20 to 100.
    pub medium: Option<f64>,
    /// Of fewer.
    pub few: Option<f64>,
    /// Over the third of the classes with the fewest training images.
    pub rarest_third: Option<f64>,
    /// Training images a second in the last epoch.
    pub images_per_second: Option<f64>,
    /// Seconds of its epochs, with their evaluations.
    pub seconds: f64,
    /// What it was trained on; several where it was resumed elsewhere.
    pub device: String,
}

impl Finished {
    /// The run of `job`, if it is finished.
    fn of(job: &Job) -> Result<Option<Self>> {
        let epochs = job.config.train.epochs;
        let all = match job.folder.join("metrics.jsonl").exists() {
            true => read_metrics(&job.folder)?,
            false => Vec::new(),
        };
        let ended = |row: &&Value| row["epoch"].as_u64() == Some(epochs as u64 - 1);
        let Some(last) = all.last().filter(ended) else { return Ok(None) };
        let mut devices: Vec<&str> = all.iter().filter_map(|r| r["device"].as_str()).collect();
        devices.dedup();
        let of = |pointer: &str| last.pointer(pointer).and_then(Value::as_f64);
        Ok(Some(Finished {
            recipe: job.recipe.clone(),
            seed: job.seed,
            epochs,
            overall: of("/test/overall"),
            many: of("/test/many"),
            medium: of("/test/medium"),
            few: of("/test/few"),
            rarest_third: rarest_third(&job.folder, last)?,
            images_per_second: of("/images_per_second"),
            seconds: all.iter().filter_map(|r| r["seconds"].as_f64()).sum(),
            device: devices.join("; "),
        }))
    }
}

/// A recipe's line in the table. Accuracies are shares of 1.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The recipe's name.
    pub recipe: String,
    /// What it says of its method.
    #[serde(skip)]
    pub method: Method,
    /// Seeds whose run is finished.
    pub seeds: Vec<u64>,
    /// These runs.
    #[serde(skip)]
    pub runs: Vec<Finished>,
    /// Accuracy over all test images.
    pub overall: Option<Spread>,
    /// Over the classes of more than 100 training images.
    pub many: Option<Spread>,
    /// Of 20 to 100.
    pub medium: Option<Spread>,
    /// Of fewer.
    pub few: Option<Spread>,
    /// Over the third of the classes with the fewest training images: on CIFAR-10-LT no class is few-shot.
    pub rarest: Option<Spread>,
    /// Training images a second in the last epoch.
    pub images_per_second: Option<Spread>,
    /// Seconds of a run's epochs, with their evaluations.
    pub seconds: Option<Spread>,
    /// What the runs were trained on.
    pub devices: Vec<String>,
    /// Published accuracy in percent.
    pub published: Option<f64>,
    /// Where it was read.
    pub source: String,
    /// What differs from the published setting.
    pub differs: Vec<String>,
}

/// The table's rows, in the order of `recipes`.
///
/// # Errors
/// A run whose files cannot be read.
pub fn rows(recipes: &[String], jobs: &[Job]) -> Result<Vec<Row>> {
    recipes
        .iter()
        .map(|name| {
            let mut runs = Vec::new();
            let mut differs = Vec::new();
            for job in jobs.iter().filter(|j| j.recipe == *name) {
                differs = differences(name, &job.config)?;
                runs.extend(Finished::of(job)?);
            }
            let of = |value: fn(&Finished) -> Option<f64>| {
                Spread::of(&runs.iter().filter_map(value).collect::<Vec<f64>>())
            };
            let mut devices: Vec<String> = Vec::new();
            for device in runs.iter().flat_map(|r| r.device.split("; ")) {
                if !devices.iter().any(|d| d == device) {
                    devices.push(device.to_string());
                }
            }
            let method = recipes::method(name)?;
            if !method.differs.is_empty() {
                differs.insert(0, method.differs.clone());
            }
            Ok(Row {
                recipe: name.clone(),
                overall: of(|r| r.overall),
                many: of(|r| r.many),
                medium: of(|r| r.medium),
                few: of(|r| r.few),
                rarest: of(|r| r.rarest_third),
                images_per_second: of(|r| r.images_per_second),
                seconds: of(|r| Some(r.seconds)),
                devices,
                published: method.published,
                source: method.source.clone(),
                seeds: runs.iter().map(|r| r.seed).collect(),
                runs,
                method,
                differs,
            })
        })
        .collect()
}

/// The mean accuracy over the third of the classes (rounded down, at least one) with the fewest training
/// images, of a run's last row.
fn rarest_third(folder: &Path, row: &Value) -> Result<Option<f64>> {
    let path = stages::last_checkpoint(folder);
    let file = Checkpoint::load(&path)?;
    let about =
        About::read(&file, &path)?.ok_or_else(|| Error::data(&path, "describes no network"))?;
    let Some(accuracies) = row["test"]["per_class"].as_array() else { return Ok(None) };
    let mut classes: Vec<usize> = (0..about.counts.len().min(accuracies.len())).collect();
    // Of equal counts the later classes are the rarer ones.
    classes.sort_by_key(|c| (about.counts[*c], std::cmp::Reverse(*c)));
    classes.truncate((classes.len() / 3).max(1));
    let found: Vec<f64> = classes.iter().filter_map(|c| accuracies[*c].as_f64()).collect();
    Ok(Spread::of(&found).map(|s| s.mean))
}
