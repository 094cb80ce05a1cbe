//! Runs that need another one: a recipe's `after` names the recipe that is trained first, in the folder
//! `first` of the run, with the same data, network and seed; its last checkpoint is where this one starts.
//! `teacher` names the recipe whose network teaches, trained in the folder `teacher`.
//!
//! A run that was broken off is gone on with, a finished one is used as it is.

use super::config::Config;
use super::recipes;
use super::run_dir::{RunDir, read_metrics};
use super::trainer::{self, Options, Outcome};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder of a run's first stage.
const FIRST: &str = "first";
/// The folder of its teacher.
const TEACHER: &str = "teacher";

/// Trains as `config` says, its first stage and its teacher before it.
///
/// # Errors
/// As [`trainer::run`]; a first stage's or teacher's recipe that is wrong, or itself needs another.
pub fn run(config: &Config, options: &Options) -> Result<Outcome> {
    let (first, teacher) = (first_stage(config)?, teacher(config)?);
    if first.is_none() && teacher.is_none() {
        return trainer::run(config, options);
    }
    options.group.agree(config.validate())?;
    let out = match &options.out {
        Some(out) => out.clone(),
        None => {
            let made = || RunDir::new_folder(config).map(|p| p.to_string_lossy().into_owned());
            PathBuf::from(options.group.lead(made)?)
        }
    };
    let mut config = config.clone();
    let there = |config: &Config, name: &str| {
        let folder = out.join(name);
        let options = Options { out: Some(folder.clone()), ..options.clone() };
        ensure(config, &options).map(|()| folder)
    };
    if let Some(first) = first {
        config = from_checkpoint(&config, &there(&first, FIRST)?);
    }
    if let Some(teacher) = teacher {
        config = taught_from(&config, &there(&teacher, TEACHER)?);
    }
    trainer::run(&config, &Options { out: Some(out), ..options.clone() })
}

/// `config` as it starts from a first stage in `folder`.
pub fn from_checkpoint(config: &Config, folder: &Path) -> Config {
    let mut config = config.clone();
    config.train.init = Some(last_checkpoint(folder));
    config
}

/// `config` as it learns from the teacher whose run is in `folder`.
pub fn taught_from(config: &Config, folder: &Path) -> Config {
    let mut config = config.clone();
    config.teacher.teacher_from = Some(last_checkpoint(folder));
    config
}

/// The recipe of the teacher of `config`, with its data, seed and, unless it names another, its network; none if
/// there is no teacher, or its checkpoint is there.
///
/// # Errors
/// A recipe that cannot be found or read, or that itself needs another.
pub fn teacher(config: &Config) -> Result<Option<Config>> {
    let cfg = &config.teacher;
    let (Some(name), None) = (&cfg.teacher, &cfg.teacher_from) else { return Ok(None) };
    let mut teacher = recipes::load(name)?;
    stands_alone("teacher", name, &teacher, "--teacher-from")?;
    let model = cfg.teacher_model.as_ref().unwrap_or(&config.model.model);
    teacher.model.model.clone_from(model);
    share(&mut teacher, config, cfg.teacher_epochs);
    Ok(Some(teacher))
}

/// An error if the recipe `name`, which `key` names, needs a run before it.
///
/// # Errors
/// That, with the flag that takes a checkpoint.
pub fn stands_alone(key: &str, name: &str, config: &Config, flag: &str) -> Result<()> {
    let needs = match (&config.train.after, &config.teacher.teacher) {
        (Some(_), _) => "comes after another one",
        (_, Some(_)) => "has a teacher",
        _ => return Ok(()),
    };
    Err(Error::usage(format!(
        "{key} = \"{name}\": that recipe {needs}; only two stages can be told, give the first one's checkpoint by {flag}"
    )))
}

/// What a run takes over from the one that it is needed for.
fn share(before: &mut Config, config: &Config, epochs: Option<usize>) {
    before.data = config.data.clone();
    before.train.seed = config.train.seed;
    before.train.device.clone_from(&config.train.device);
    before.train.log_steps = config.train.log_steps;
    if let Some(epochs) = epochs {
        before.train.epochs = epochs;
    }
    before.train.eval_every = before.train.eval_every.max(config.train.eval_every);
}

/// The recipe that must be trained before `config`, with its data, network and seed; none if it starts
/// from the seed or from a checkpoint that is there.
///
/// # Errors
/// A recipe that cannot be found or read, or that itself comes after another.
pub fn first_stage(config: &Config) -> Result<Option<Config>> {
    let (Some(name), None) = (&config.train.after, &config.train.init) else { return Ok(None) };
    let mut before = recipes::load(name)?;
    stands_alone("after", name, &before, "--init")?;
    let (to, from) = (&mut before.model, &config.model);
    to.model.clone_from(&from.model);
    to.norm = from.norm;
    to.nbn_layers.clone_from(&from.nbn_layers);
    to.nbn_bias_start = from.nbn_bias_start;
    to.weight_norm = from.weight_norm;
    share(&mut before, config, config.train.after_epochs);
    Ok(Some(before))
}

/// A finished run of `config` in `options.out`: the one that is there, gone on with if it was broken off,
/// or a new one.
///
/// # Errors
/// As [`trainer::run`]; a folder that holds a run of another recipe.
pub fn ensure(config: &Config, options: &Options) -> Result<()> {
    let Some(out) = &options.out else { return trainer::run(config, options).map(|_| ()) };
    // One of several ranks looks, before another may have begun.
    let resume = options.group.lead(|| {
        Ok(match state(config, out)? {
            State::Finished => "finished".into(),
            State::Begun => "begun".into(),
            State::New => String::new(),
        })
    })?;
    if resume == "finished" {
        return Ok(());
    }
    let resume = resume == "begun";
    trainer::run(config, &Options { resume, ..options.clone() }).map(|_| ())
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its folder holds no run.
    New,
    /// It was begun.
    Begun,
    /// It has had its last epoch.
    Finished,
}

/// How far the run of `config` in `out` is.
///
/// # Errors
/// A folder that holds a run of another recipe.
pub fn state(config: &Config, out: &Path) -> Result<State> {
    if !out.join("config.toml").exists() {
        return Ok(State::New);
    }
    let mut kept = RunDir::peek_config(out)?;
    kept.train.device.clone_from(&config.train.device);
    kept.train.log_steps = config.train.log_steps;
    if kept != *config {
        return Err(Error::usage(format!(
            "{}: holds a run of another recipe; choose another folder with --out",
            out.display()
        )));
    }
    let rows = read_metrics(out)?;
    let done = rows.last().and_then(|row| row["epoch"].as_u64()).map_or(0, |e| e as usize + 1);
    let whole = last_checkpoint(out).exists();
    Ok(if whole && done >= config.train.epochs { State::Finished } else { State::Begun })
}

/// The last checkpoint of the run in `folder`.
pub fn last_checkpoint(folder: &Path) -> PathBuf {
    folder.join("checkpoint").join("last.safetensors")
}
