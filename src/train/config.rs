//! The recipe of a run: every value that decides what a training run computes.
//!
//! Recipe file or flags → text → check (type, known names, range) → [`Config`] →
//! [`Config::validate`] (contradictions) → the trainer; and back to `config.toml`, complete.
//!
//! The settings are listed once, in the `recipe!` table below: name, type, default, choices,
//! range and help. The structs, the flags, the file's keys and its comments all come from it.
//!
//! Longer than other files: the table of all settings stands in one piece.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::data::sampler::Shuffle;
use crate::data::{DataSpec, Streaming};
use crate::error::{Error, Result, unknown};
use crate::nn;

mod choices;
mod key;
mod layers;
mod validate;

pub use choices::{
    Activations, Augment, BiasStart, Branches, ClassWeights, Combine, ContrastKind, Distill,
    FrozenNorms, Head, MixKind, Norm, PolicyKind, Post, Precision, Sampler, ScheduleKind,
    StartHead, Trained, WeightNorm,
};
pub use key::{Key, Kind};
pub use layers::NbnLayers;

use key::Setting;

/// Data sets that `dataset` can name.
pub const DATASETS: &[&str] = &["synthetic", "cifar10", "cifar100", "folder", "list", "shards"];
/// Networks that `model` can name.
pub const MODELS: &[&str] = &model_names();

const fn model_names() -> [&'static str; nn::MODELS.len()] {
    let mut names = [""; nn::MODELS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = nn::MODELS[i].name;
        i += 1;
    }
    names
}

const INF: f64 = f64::INFINITY;
const NOT_NEGATIVE: Range<f64> = 0.0..INF;
const POSITIVE: Range<f64> = 1.0..INF;

macro_rules! or {
    (; $default:expr) => {
        $default
    };
    ($given:expr; $default:expr) => {
        $given
    };
}

/// Turns the table of settings into the structs, [`KEYS`] and [`Overrides`].
macro_rules! recipe {
    (
        data { $(#[doc = $xhelp:literal] $xfield:ident $(as $xkey:literal)? : $xty:ty
            $(, of $xchoices:expr)? $(, in $xrange:expr)?;)* }
        $(#[doc = $sdoc:literal] $section:literal $group:ident: $name:ident {
            $(#[doc = $help:literal] $(#[$attr:meta])* $field:ident: $ty:ty = $default:expr
                $(, of $choices:expr)? $(, in $range:expr)?;)*
        })*
    ) => {
        $(
            #[doc = $sdoc]
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            pub struct $name { $(#[doc = $help] $(#[$attr])* pub $field: $ty,)* }
            impl Default for $name {
                fn default() -> Self { Self { $($field: $default,)* } }
            }
        )*

        /// The complete recipe of a run. The default is the README's first command: the
        /// synthetic long-tailed set end to end in minutes. Its values are tuned elsewhere.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Config {
            /// `[data]`: which images, and how long-tailed.
            pub data: DataSpec,
            $(#[doc = $sdoc] pub $group: $name,)*
        }

        /// Every setting, in the order of `config.toml`.
        pub static KEYS: &[Key] = &[
            $(Key { section: "data", group: "data", name: or!($($xkey)?; stringify!($xfield)),
                field: stringify!($xfield), help: $xhelp,
                kind: or!($(Kind::Choice($xchoices))?; <$xty as Setting>::KIND),
                range: or!($($xrange)?; NOT_NEGATIVE) },)*
            $($(Key { section: $section, group: stringify!($group), name: stringify!($field),
                field: stringify!($field), help: $help,
                kind: or!($(Kind::Choice($choices))?; <$ty as Setting>::KIND),
                range: or!($($range)?; NOT_NEGATIVE) },)*)*
        ];

        // A doc comment would become the help of the command that flattens this struct; clap does
        // not look into `concat!`.
        #[doc = concat!("Flags of `evenkeel train` that replace a recipe's values. Their text is ",
            "checked by [`Config::apply`], so that errors can say the nearest valid value.")]
        #[derive(clap::Args, Clone, Debug, Default, PartialEq)]
        pub struct Overrides {
            $(#[doc = $xhelp]
            #[arg(long, help_heading = "[data]", allow_negative_numbers = true,
                default_missing_value = "true", num_args = values(stringify!($xfield)),
                require_equals = is_switch(stringify!($xfield)), help = help(stringify!($xfield)))]
            pub $xfield: Option<String>,)*
            $($(#[doc = $help]
            #[arg(long, help_heading = concat!("[", $section, "]"), allow_negative_numbers = true,
                default_missing_value = "true", num_args = values(stringify!($field)),
                require_equals = is_switch(stringify!($field)), help = help(stringify!($field)))]
            pub $field: Option<String>,)*)*
        }

        impl Overrides {
            /// The flags that were given, with their text, in the order of [`KEYS`].
            pub fn given(&self) -> Vec<(&'static Key, &str)> {
                let all = [$(self.$xfield.as_deref(),)* $($(self.$field.as_deref(),)*)*];
                KEYS.iter().zip(all).filter_map(|(key, text)| Some((key, text?))).collect()
            }
        }

        impl Config {
            fn tables(&self) -> Result<Tables> {
                let mut tables = Tables::new();
                tables.insert("data", table("data", &self.data)?);
                $(tables.insert(stringify!($group), table($section, &self.$group)?);)*
                Ok(tables)
            }

            fn from_tables(mut tables: Tables) -> Result<Self> {
                Ok(Self {
                    data: untable("data", tables.remove("data"))?,
                    $($group: untable($section, tables.remove(stringify!($group)))?,)*
                })
            }
        }
    };
}

recipe! {
    data {
        /// Data set
        dataset: String, of DATASETS;
        /// Its folder or list file
        data: Option<PathBuf>;
        /// Largest class count over smallest, at least 1
        imbalance: f64, in POSITIVE;
        /// How class counts fall: exponentially, or half of the classes at once
        profile: String, of &["exp", "step"];
        /// Number of classes (synthetic)
        classes: Option<usize>, in 2.0..1e6;
        /// Training images of the largest class
        train_per_class: Option<usize>, in POSITIVE;
        /// Test images of each class
        test_per_class: Option<usize>, in POSITIVE;
        /// Width and height of the images, in pixels
        image_size: Option<usize>, in 8.0..4097.0;
        /// Shorter side that files are resized to before the centre is cut out; unset: image_size
        resize_size: Option<usize>, in 8.0..16385.0;
        /// Read image files as they are needed; auto: if they take more than 2 GiB decoded
        stream: String, of Streaming::NAMES;
        /// Which images of a class are kept: a shuffled choice, or the first
        subset: String, of &["shuffled", "first"];
        /// Seed of that choice
        subset_seed: u32, in 0.0..4294967296.0;
        /// Leave out files that cannot be read, instead of stopping
        skip_bad: bool;
        /// Share of each class's training images kept back to calibrate probabilities on
        holdout: f64, in 0.0..1.0;
        /// Seed of the synthetic images and of a split, apart from the training seed
        data_seed as "seed": u64;
    }
    /// `[data]`, continued: how training images are drawn and changed.
    "data" input: InputCfg {
        /// Random changes to training images
        augment: Augment = Augment::Standard, of Augment::NAMES;
        /// Order of the training images: as stored, or shuffled anew each epoch
        #[serde(with = "shuffle_name")]
        shuffle: Shuffle = Shuffle::Epoch, of &["none", "epoch"];
        /// Which images an epoch draws
        sampler: Sampler = Sampler::Instance, of Sampler::NAMES;
        /// Share of the epochs after which the sampler holds; before it, every image once (DRS)
        sampler_from: f64 = 0.0, in 0.0..1.0;
        /// Consecutive draws of one class (class-aware)
        class_draws: usize = 4, in 1.0..1025.0;
        /// Nearest images of its class that an image is drawn towards (smote)
        neighbours: usize = 5, in 1.0..1025.0;
        /// Mixing two images into one
        mix: MixKind = MixKind::None, of MixKind::NAMES;
        /// a of Beta(a, a), from which a mixed batch's share is drawn
        mix_alpha: f64 = 1.0, in 1e-3..1e3;
        /// Probability that a batch is mixed
        mix_prob: f64 = 1.0, in 0.0..1.0000001;
        /// Policy of image operations
        policy: PolicyKind = PolicyKind::None, of PolicyKind::NAMES;
        /// Operations an image (randaugment)
        policy_ops: usize = 2, in 1.0..17.0;
        /// Strength; unset: 9 of 30 (randaugment), 15 degrees (rotation), 0.4 (jitter)
        policy_magnitude: Option<f64> = None, in 0.0..180.0;
        /// Side of a black square at a random place (Cutout), in pixels; 0: none
        cutout: usize = 0, in 0.0..4097.0;
    }
    /// `[model]`: the network and its normalisation.
    "model" model: ModelCfg {
        /// Network
        model: String = "small".into(), of MODELS;
        /// Normalisation
        norm: Norm = Norm::Nbn, of Norm::NAMES;
        /// Layers that NBN replaces: last-stage, all, none, or patterns such as layer3.*.bn2
        nbn_layers: String = "last-stage".into();
        /// Start of NBN's bias: zero (the reference) or small and random (no frozen direction)
        nbn_bias_start: BiasStart = BiasStart::Zero, of BiasStart::NAMES;
        /// Weights as a learned length times a unit vector
        weight_norm: WeightNorm = WeightNorm::None, of WeightNorm::NAMES;
        /// Classifier
        head: Head = Head::Linear, of Head::NAMES;
        /// The cosine head's factor s
        head_scale: f64 = 30.0, in 1e-3..1e4;
        /// Branches with a classifier each (RIDE, TLC)
        experts: usize = 1, in 1.0..9.0;
        /// What each of them has of its own
        branches: Branches = Branches::Late, of Branches::NAMES;
        /// How their logits become one
        combine: Combine = Combine::Mean, of Combine::NAMES;
        /// A change to the classifier or the statistics after training
        post: Post = Post::None, of Post::NAMES;
        /// Its tau
        post_tau: f64 = 1.0, in -100.0..100.0;
    }
    /// `[loss]`: what is minimised.
    "loss" loss: LossCfg {
        /// Loss: a part that `evenkeel methods` lists
        loss: String = "ce".into();
        /// Its numbers, such as { gamma = 2.0 }; as a flag gamma=2.0,tau=1
        loss_options: BTreeMap<String, f64> = BTreeMap::new();
        /// Share of the target spread over all classes
        label_smoothing: f64 = 0.0, in 0.0..1.0;
        /// Weights of the classes
        class_weights: ClassWeights = ClassWeights::None, of ClassWeights::NAMES;
        /// beta of the effective number of samples, in weights and sampler
        beta: f64 = 0.9999, in 0.0..1.0;
        /// Factor of the experts' divergence from their mean; below 0 it drives them apart
        diversity: f64 = 0.0, in -1e3..1e3;
        /// How far the divergence's temperatures of rare classes lie below 1, beside reweight_from
        diversity_spread: f64 = 0.0, in 0.0..1.0;
        /// Contrastive branch beside the loss
        contrast: ContrastKind = ContrastKind::None, of ContrastKind::NAMES;
        /// Its factor
        contrast_weight: f64 = 0.35, in 0.0..1e6;
        /// The loss's factor beside it, or that of a class's centre (paco)
        loss_factor: f64 = 1.0, in 0.0..1e6;
        /// Temperature of its similarities
        temperature: f64 = 0.1, in 0.03..1e3;
        /// Numbers of a feature in it
        projected: usize = 128, in 1.0..65536.0;
        /// Features of earlier images that paco compares with: a whole number of batches
        queue: usize = 1024, in 1.0..1e6;
        /// What the network that makes them keeps of itself at each step (paco)
        key_momentum: f64 = 0.999, in 0.0..1.0;
        /// Factor of the loss that keeps a memory's centroids (head memory)
        centroids: f64 = 0.01, in 0.0..1e6;
        /// Factor, at the end of the run, that holds down evidence for wrong classes (TLC); 0: none
        evidence: f64 = 0.0, in 0.0..1e3;
        /// Factor of an expert's squared logits of classes it does not answer for (ACE)
        suppress: f64 = 0.0, in 0.0..1e3;
        /// Share of the batch's largest weight from which an expert learns from a sample (TLC)
        engage: f64 = 0.0, in 0.0..1.0;
        /// Share of the epochs after which the weights hold (DRW); 0: from the start
        reweight_from: f64 = 0.0, in 0.0..1.0;
        /// Logit adjustment: tau * log(class share) is added to the logits; 0 turns it off
        logit_adjust: f64 = 0.0;
    }
    /// `[optim]`: stochastic gradient descent.
    "optim" optim: OptimCfg {
        /// Base learning rate
        lr: f64 = 0.1;
        /// Momentum
        momentum: f64 = 0.9, in 0.0..1.0;
        /// Nesterov's form of momentum
        nesterov: bool = false;
        /// Weight decay, on every parameter
        weight_decay: f64 = 2e-4;
        /// Leave NBN's scale factors out of weight decay
        no_decay_scale_factor: bool = false;
        /// Which parameters learn
        train_only: Trained = Trained::All, of Trained::NAMES;
        /// Batch norms below a classifier that learns alone
        frozen_norms: FrozenNorms = FrozenNorms::Eval, of FrozenNorms::NAMES;
        /// Keep the rows of the classifier's weight within min + t*(max - min) of their lengths at the start
        max_norm: Option<f64> = None, in 0.0..1.0000001;
        /// Factor on the learning rate of the classifier's weight and bias
        head_lr: f64 = 1.0, in 0.0..1e6;
        /// Shorten the gradients to this 2-norm of them all where it is larger
        clip_norm: Option<f64> = None, in 1e-9..1e9;
        /// Evaluate and save averages of weights and statistics over the steps, with this decay
        ema: Option<f64> = None, in 0.0..1.0;
    }
    /// `[schedule]`: the learning rate over the epochs (see the `schedule` module).
    "schedule" schedule: ScheduleCfg {
        /// How the learning rate follows the epochs
        schedule: ScheduleKind = ScheduleKind::Cosine, of ScheduleKind::NAMES;
        /// Warm-up epochs; unset: none, but for warmup-steps 5, in short runs a tenth
        warmup_epochs: Option<usize> = None;
        /// Warm up as lr*e/n, so that epoch 0 has rate 0, instead of lr*(e+1)/n
        warmup_from_zero: bool = false;
        /// Epochs from which a factor holds; unset: 80 % and 90 % of the epochs
        milestones: Option<Vec<usize>> = None;
        /// Factors on the base rate, one per milestone; unset: 0.01 and 0.0001
        factors: Option<Vec<f64>> = None;
    }
    /// `[train]`: how long, how much at once, from where.
    "train" train: TrainCfg {
        /// Passes over the training set
        epochs: usize = 16, in 1.0..1e6;
        /// Images per batch
        batch_size: usize = 64, in 1.0..65536.0;
        /// Batches per step, whose gradients are added up
        accumulate: usize = 1, in 1.0..65536.0;
        /// Keep of each block its output alone, and compute the rest again for the gradient: less memory, same bits
        recompute: bool = false;
        /// Seed of the initial weights, the order of the images and their random changes
        seed: u64 = 0;
        /// Stop after this many steps
        max_steps: Option<usize> = None, in POSITIVE;
        /// Record the loss every so many steps
        log_steps: Option<usize> = None, in POSITIVE;
        /// Checkpoint to take the initial weights from
        init: Option<PathBuf> = None;
        /// Recipe to train first, whose result this one starts from (two stages)
        after: Option<String> = None;
        /// Epochs of that recipe; unset: its own
        after_epochs: Option<usize> = None, in POSITIVE;
        /// Classifier at the start, beside init or after
        start_head: StartHead = StartHead::Keep, of StartHead::NAMES;
        /// Adapter, by number or part of its name
        device: Option<String> = None;
        /// As what activations wait for the backward pass: f16 takes half the memory
        activations: Activations = Activations::F32, of Activations::NAMES;
        /// In which numbers a training step is computed: f32, or mixed with halves, whose loss is scaled
        precision: Precision = Precision::F32, of Precision::NAMES;
        /// Drop an epoch's last batch if it is not full
        drop_last: bool = false;
        /// Of several ranks, batch norms take the statistics of all batches together
        sync_bn: bool = false;
        /// Evaluate every so many epochs, and after the last
        eval_every: usize = 1, in POSITIVE;
    }
    /// `[teacher]`: a trained network beside the one that learns, and what is learned from it.
    "teacher" teacher: TeacherCfg {
        /// Recipe to train first, whose network teaches
        teacher: Option<String> = None;
        /// Epochs of that recipe; unset: its own
        teacher_epochs: Option<usize> = None, in POSITIVE;
        /// The teacher's network; unset: the learner's
        teacher_model: Option<String> = None, of MODELS;
        /// Checkpoint of a teacher that is trained already
        teacher_from: Option<PathBuf> = None;
        /// What is learned from its logits
        distill: Distill = Distill::None, of Distill::NAMES;
        /// Factor of the divergence from the teacher (kd)
        distill_weight: f64 = 1.0, in 0.0..1e6;
        /// Temperature of both (kd)
        distill_temperature: f64 = 4.0, in 1e-2..1e3;
        /// gamma of the samples' weights (xerm)
        xerm_gamma: f64 = 1.5, in 1e-2..1e2;
        /// Factor of the distance between both networks' attention maps; 0: none
        attention: f64 = 0.0, in 0.0..1e9;
    }
}

type Tables = BTreeMap<&'static str, Table>;

fn table(section: &str, part: &impl Serialize) -> Result<Table> {
    Table::try_from(part).map_err(|e| Error::Usage(format!("[{section}] cannot be written: {e}")))
}

fn untable<T: serde::de::DeserializeOwned>(section: &str, table: Option<Table>) -> Result<T> {
    let table = table.unwrap_or_default();
    table.try_into().map_err(|e| Error::Usage(format!("[{section}]: {e}")))
}

fn by_field(field: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.field == field)
}

fn is_switch(field: &str) -> bool {
    by_field(field).is_some_and(|k| k.kind == Kind::Bool)
}

fn values(field: &str) -> clap::builder::ValueRange {
    if is_switch(field) { (0..=1).into() } else { 1.into() }
}

fn help(field: &str) -> String {
    by_field(field).map(Key::describe).unwrap_or_default()
}

/// Serde for the sampler's order, which has its own spelling here.
mod shuffle_name {
    use super::Shuffle;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Shuffle, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match value {
            Shuffle::None => "none",
            Shuffle::Epoch => "epoch",
        })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Shuffle, D::Error> {
        match String::deserialize(from)?.as_str() {
            "none" => Ok(Shuffle::None),
            "epoch" => Ok(Shuffle::Epoch),
            other => Err(D::Error::unknown_variant(other, &["none", "epoch"])),
        }
    }
}

impl Config {
    /// Reads a recipe; what it leaves out keeps its default.
    ///
    /// # Errors
    /// Text that is not TOML, an unknown section or key, a value of the wrong type or out of
    /// range: each with its line, and the nearest known name.
    pub fn from_toml_str(text: &str) -> Result<Self> {
        Self::parse(text, "recipe")
    }

    /// Reads a recipe file, as [`Config::from_toml_str`] does.
    ///
    /// # Errors
    /// A file that cannot be read, and those of [`Config::from_toml_str`].
    pub fn from_toml_file(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &path.display().to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::usage(format!("{}: no such recipe", path.display())))
            }
            Err(e) => Err(Error::io("read", path, e)),
        }
    }

    pub(super) fn parse(text: &str, origin: &str) -> Result<Self> {
        let syntax = |e: toml::de::Error| Error::usage(format!("{origin}: {e}"));
        // Twice: the first form knows where each key stands, the second its value.
        let spans = toml::de::DeTable::parse(text).map_err(syntax)?;
        let values: Table = text.parse().map_err(syntax)?;
        let at = |span: Range<usize>| {
            let line = text.as_bytes()[..span.start.min(text.len())]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            format!("{origin}:{line}")
        };
        let mut tables = Self::default().tables()?;
        for (section, content) in spans.get_ref() {
            let name = section.get_ref().as_ref();
            // What a recipe says of its method decides nothing.
            if name == "method" {
                super::recipes::of_text(text, origin)?;
                continue;
            }
            let Some(entries) = content.get_ref().as_table().filter(|_| is_section(name)) else {
                return Err(wrong_section(&at(section.span()), name));
            };
            for (entry, _) in entries {
                let place = at(entry.span());
                let key = find(&place, name, entry.get_ref())?;
                let Some(value) = values.get(name).and_then(|s| s.get(key.name)) else {
                    continue;
                };
                let value = key.check(&format!("{place}: `{}`", key.name), value)?;
                tables.entry(key.group).or_default().insert(key.name.into(), value);
            }
        }
        Self::from_tables(tables)
    }

    /// Replaces the values for which a flag was given.
    ///
    /// # Errors
    /// A flag whose text is not a value of its setting, with what is allowed.
    pub fn apply(&mut self, flags: &Overrides) -> Result<()> {
        let mut tables = self.tables()?;
        // A recipe's folder has no meaning for the synthetic set, and no flag could unset it.
        if flags.dataset.as_deref() == Some("synthetic") && flags.data.is_none() {
            tables.entry("data").or_default().remove("data");
        }
        for (key, text) in flags.given() {
            let value = key.check(&key.flag(), &key.read(text))?;
            tables.entry(key.group).or_default().insert(key.name.into(), value);
        }
        *self = Self::from_tables(tables)?;
        Ok(())
    }

    /// The complete recipe as text, every setting with its comment; unset ones are commented out.
    /// Equal configurations give equal text.
    ///
    /// # Errors
    /// A value that TOML cannot hold: a path that is not UTF-8, a seed above 2⁶³ − 1.
    pub fn to_toml(&self) -> Result<String> {
        let tables = self.tables()?;
        let mut text = String::from(
            "# evenkeel recipe, complete: `evenkeel train <this file>` repeats the run.\n",
        );
        let mut section = "";
        for key in KEYS {
            if section != key.section {
                section = key.section;
                text += &format!("\n[{section}]\n");
            }
            let line = match tables.get(key.group).and_then(|t| t.get(key.name)) {
                Some(value) => format!("{} = {value}", key.name),
                None => format!("# {} =", key.name),
            };
            text += &format!("{line:<32}  # {}\n", key.describe());
        }
        Ok(text)
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|k| k.section == name)
}

fn wrong_section(place: &str, name: &str) -> Error {
    if is_section(name) {
        return Error::usage(format!(
            "{place}: `{name}` must be a section: write [{name}] on a line of its own"
        ));
    }
    if let Some(key) = KEYS.iter().find(|k| k.name == name) {
        return Error::usage(format!("{place}: `{name}` belongs under [{}]", key.section));
    }
    let mut sections: Vec<&str> = KEYS.iter().map(|k| k.section).collect();
    sections.dedup();
    Error::usage(format!("{place}: {}", unknown("section", name, &sections)))
}

/// The setting `name` of `section`; the error names the nearest one, in any section.
fn find(place: &str, section: &str, name: &str) -> Result<&'static Key> {
    if let Some(key) = KEYS.iter().find(|k| k.section == section && k.name == name) {
        return Ok(key);
    }
    if let Some(key) = KEYS.iter().find(|k| k.name == name) {
        return Err(Error::usage(format!(
            "{place}: `{name}` belongs under [{}], not [{section}]",
            key.section
        )));
    }
    let known: Vec<&str> = KEYS.iter().filter(|k| k.section == section).map(|k| k.name).collect();
    Err(Error::usage(format!("{place}: [{section}]: {}", unknown("key", name, &known))))
}

#[cfg(test)]
mod tests;
