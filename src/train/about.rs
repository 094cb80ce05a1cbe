//! What a checkpoint says beside its tensors: the network it belongs to, so that `eval` and `predict`
//! need nothing else, and the position in the run, so that `--resume` goes on from there.

use super::checkpoint::{Checkpoint, TensorData};
use super::config::{BiasStart, Branches, Combine, Config, ContrastKind, Head, Norm, WeightNorm};
use super::parts;
use crate::data::{Dataset, Splits};
use crate::error::{Error, Result};
use crate::nn::{
    self, HALLUCINATOR, Named, NormLayers, Norms, OPTIMIZER_PREFIX, Params, Spec, in_head,
    in_memory, in_projection, of_head,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Position and sums that a checkpoint carries beside its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Optimizer steps taken.
    pub step: u32,
    /// Epoch under way, from 0.
    pub epoch: usize,
    /// Samples of it already seen.
    pub seen: usize,
    /// Σ loss·samples over them.
    pub loss_sum: f64,
    /// How many of them were classified right.
    pub correct: usize,
    /// Best overall accuracy so far.
    pub best: f64,
    /// `num_batches_tracked` of the parameters started from, and the batches beyond one a step.
    pub tracked: i64,
}

/// Everything needed to rebuild the network of a checkpoint, kept in its metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Model name.
    pub model: String,
    /// bn or nbn.
    pub norm: Norm,
    /// Which layers are normalized.
    pub nbn_layers: String,
    /// Which weights are normalized.
    #[serde(default = "no_weight_norm")]
    pub weight_norm: WeightNorm,
    /// The classifier.
    pub head: Head,
    /// The cosine head's factor.
    #[serde(default = "one")]
    pub head_scale: f32,
    /// Branches of the network.
    #[serde(default = "single")]
    pub experts: usize,
    /// Numbers of a feature in the contrastive branch; 0: there is none.
    #[serde(default)]
    pub projected: usize,
    /// And a prototype of each class.
    #[serde(default = "yes")]
    pub prototypes: bool,
    /// What each has of its own.
    #[serde(default = "late")]
    pub branches: Branches,
    /// How their logits become one.
    #[serde(default = "averaged")]
    pub combine: Combine,
    /// Class names.
    pub classes: Vec<String>,
    /// Training images of each class.
    pub counts: Vec<usize>,
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// Mean of each channel.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

impl About {
    /// Of the network that `config` trains on `splits`.
    pub fn new(config: &Config, splits: &Splits) -> Self {
        Self::of(config, &splits.train, &splits.counts)
    }

    /// Of the network that `config` trains on `data` with these counts.
    pub fn of(config: &Config, data: &Dataset, counts: &[usize]) -> Self {
        About {
            model: config.model.model.clone(),
            norm: config.model.norm,
            nbn_layers: config.model.nbn_layers.clone(),
            weight_norm: config.model.weight_norm,
            head: config.model.head,
            head_scale: config.model.head_scale as f32,
            experts: config.model.experts,
            branches: config.model.branches,
            combine: config.model.combine,
            projected: parts::projected(config),
            prototypes: config.loss.contrast == ContrastKind::Bcl,
            classes: data.classes.clone(),
            counts: counts.to_vec(),
            shape: data.shape,
            mean: data.mean,
            std: data.std,
        }
    }

    /// Of the network of a checkpoint, if it says.
    ///
    /// # Errors
    /// A description that is none, with `path`, where the file is.
    pub fn read(file: &Checkpoint, path: &Path) -> Result<Option<Self>> {
        let about = file.meta.get("about").map(|text| serde_json::from_str(text)).transpose();
        about.map_err(|e| Error::data(path, format!("describes no network: {e}")))
    }

    /// The network; `start` matters only to a fresh one.
    ///
    /// # Errors
    /// A pattern of layers that is empty.
    pub fn spec(&self, start: BiasStart) -> Result<Spec<'_>> {
        let kind = match self.norm {
            Norm::Bn => nn::NormKind::Bn,
            Norm::Nbn => nn::NormKind::Nbn,
            Norm::TransNorm => nn::NormKind::Transferable,
        };
        let start = match start {
            BiasStart::Zero => nn::BiasStart::Zero,
            BiasStart::Random => nn::BiasStart::Random,
        };
        let mut norms = Norms::new(kind, NormLayers::parse(&self.nbn_layers)?, start);
        norms.weights = match self.weight_norm {
            WeightNorm::None => nn::WeightNorm::Nothing,
            WeightNorm::Head => nn::WeightNorm::Head,
            WeightNorm::All => nn::WeightNorm::All,
        };
        Ok(Spec {
            model: &self.model,
            classes: self.classes.len(),
            head: match self.head {
                Head::Linear => nn::Head::Linear,
                Head::Lr => nn::Head::Lr,
                Head::Cosine => nn::Head::Cosine(self.head_scale),
                Head::Lws => nn::Head::Lws,
                Head::DisAlign => nn::Head::DisAlign,
                Head::Memory => nn::Head::Memory,
            },
            experts: nn::Experts {
                count: self.experts,
                branches: match self.branches {
                    Branches::Late => nn::Branches::Late,
                    Branches::Whole => nn::Branches::Whole,
                },
                combine: match self.combine {
                    Combine::Mean => nn::Combine::Mean,
                    Combine::Evidence => nn::Combine::Evidence,
                    Combine::Groups => nn::Combine::Groups(&self.counts),
                },
            },
            norms,
            projected: nn::Projected { width: self.projected, prototypes: self.prototypes },
        })
    }
}

fn one() -> f32 {
    1.0
}

fn no_weight_norm() -> WeightNorm {
    WeightNorm::None
}

fn yes() -> bool {
    true
}

fn single() -> usize {
    1
}

fn late() -> Branches {
    Branches::Late
}

fn averaged() -> Combine {
    Combine::Mean
}

/// A metadata entry.
pub(super) fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Failure(format!("metadata: {e}")))
}

/// What the names of a momentum encoder's tensors begin with.
pub(super) const BESIDE: &str = "momentum_encoder.";

/// The float tensors of a file, as [`crate::nn::Params::import`] takes them.
pub fn floats(file: &Checkpoint) -> Vec<Named> {
    floats_where(file, |name| !name.starts_with(BESIDE))
}

/// Those of its momentum encoder.
pub(super) fn beside(file: &Checkpoint) -> Vec<Named> {
    floats_where(file, |name| name.starts_with(BESIDE))
}

fn floats_where(file: &Checkpoint, wanted: impl Fn(&str) -> bool) -> Vec<Named> {
    let float = |(name, shape, data): &(String, Vec<usize>, TensorData)| match data {
        TensorData::F32(v) if wanted(name) => Some((name.clone(), shape.clone(), v.clone())),
        _ => None,
    };
    file.tensors.iter().filter_map(float).collect()
}

/// Takes the parameters of a checkpoint without its optimizer's state; a classifier's, a memory's or a contrastive
/// branch's that it lacks, or with `fresh` all of the classifier's, stay as the seed made them. A memory is asked
/// by what the checkpoint has for a linear classifier.
pub(super) fn start_from(params: &Params, file: &Checkpoint, fresh: bool) -> Result<()> {
    let mut tensors = floats(file);
    let own = params.export(false)?;
    let asks = |name: &str| of_head(name).is_some_and(|part| part.starts_with(HALLUCINATOR));
    let linear = tensors.iter().all(|(name, ..)| !asks(name));
    let asked =
        own.iter().filter(|(name, ..)| linear && asks(name)).filter_map(|(name, shape, _)| {
            let part = of_head(name)?.strip_prefix(HALLUCINATOR)?;
            let of_linear = |(n, s, _): &&Named| of_head(n) == Some(part) && s == shape;
            Some((name.clone(), shape.clone(), tensors.iter().find(of_linear)?.2.clone()))
        });
    let asked: Vec<Named> = asked.collect();
    tensors.retain(|(name, ..)| !(name.starts_with(OPTIMIZER_PREFIX) || fresh && in_head(name)));
    tensors.extend(asked);
    tensors.retain(|(name, ..)| !in_projection(name) || own.iter().any(|(n, ..)| n == name));
    let lacks = |name: &str| tensors.iter().all(|(given, ..)| given != name);
    let beside = |name: &str| in_head(name) || in_projection(name) || in_memory(name);
    let missing: Vec<Named> = own.into_iter().filter(|(n, ..)| beside(n) && lacks(n)).collect();
    params.import(&[tensors, missing].concat())
}

/// `num_batches_tracked` of a file's batch norms (they all agree), 0 without any.
pub(super) fn tracked(file: &Checkpoint) -> i64 {
    let found = file.tensors.iter().find_map(|(name, _, data)| match data {
        TensorData::I64(v) if name.ends_with("num_batches_tracked") => v.first().copied(),
        _ => None,
    });
    found.unwrap_or(0)
}

/// An import error, with the file it came from.
pub fn at_file(path: &Path, error: Error) -> Error {
    Error::data(path, error.to_string())
}
