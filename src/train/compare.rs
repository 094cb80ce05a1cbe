//! Several recipes, several seeds, one table: which runs are needed, in which folders, how they went.
//!
//! recipes + flags → a [`Job`] for each recipe and seed, first stage and teacher → child processes
//! (`evenkeel train`), one at a time on each device → the runs' own `metrics.jsonl` → [`Row`]s (`rows`) of mean and
//! standard deviation. A finished run is used as it is, one that was broken off is gone on with.

mod rows;

pub use rows::{Finished, Row, Spread, rows};

use super::config::{Config, KEYS, Overrides};
use super::recipes;
use super::stages::{self, State, stands_alone};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// One run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The recipe's name.
    pub recipe: String,
    /// The seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Its recipe.
    pub config: Config,
    /// The folder of its first stage.
    pub first: Option<PathBuf>,
    /// The folder of its teacher's run.
    pub teacher: Option<PathBuf>,
}

impl Job {
    /// Whether other runs must be finished before it.
    fn waits(&self) -> bool {
        self.first.is_some() || self.teacher.is_some()
    }
}

/// The runs of `recipes` with `flags` over them, for seeds `seed..seed + seeds`, in folders of `out`.
/// First stages and teachers come first, each once.
///
/// # Errors
/// A recipe or flag that is wrong, or parts that contradict each other: before anything is run.
pub fn jobs(recipes: &[String], flags: &Overrides, seeds: u64, out: &Path) -> Result<Vec<Job>> {
    let mut first: Vec<Job> = Vec::new();
    let mut second: Vec<Job> = Vec::new();
    for n in 0..seeds {
        for name in recipes {
            let config = prepared(name, flags, n)?;
            let mut job = job(name, config, out);
            if let Some(before) = &job.config.train.after {
                let mut config = prepared(before, flags, n)?;
                stands_alone("after", before, &config, "--init")?;
                // The network of both stages is the second one's, but for its classifier.
                config.model.model.clone_from(&job.config.model.model);
                config.model.norm = job.config.model.norm;
                config.model.nbn_layers.clone_from(&job.config.model.nbn_layers);
                let before = self::job(before, config, out);
                job.first = Some(before.folder.clone());
                once(&mut first, before);
            }
            if let Some(teacher) = teacher_job(&job, flags, n, out)? {
                job.teacher = Some(teacher.folder.clone());
                once(&mut first, teacher);
            }
            if job.waits() {
                second.push(job);
            } else {
                once(&mut first, job);
            }
        }
    }
    first.extend(second);
    for job in &first {
        job.config.validate()?;
    }
    Ok(first)
}

/// Adds a job unless its folder is another's already.
fn once(jobs: &mut Vec<Job>, job: Job) {
    if jobs.iter().all(|j| j.folder != job.folder) {
        jobs.push(job);
    }
}

/// The run of the teacher that `job` names; one of another network than the learner's has a folder of its own.
fn teacher_job(job: &Job, flags: &Overrides, n: u64, out: &Path) -> Result<Option<Job>> {
    let cfg = &job.config.teacher;
    let Some(name) = cfg.teacher.as_ref().filter(|_| cfg.teacher_from.is_none()) else {
        return Ok(None);
    };
    let mut config = prepared(name, flags, n)?;
    stands_alone("teacher", name, &config, "--teacher-from")?;
    let model = cfg.teacher_model.as_ref().filter(|m| **m != config.model.model);
    let folder = match model {
        Some(model) => {
            config.model.model.clone_from(model);
            format!("{}-{model}", name.trim_end_matches(".toml"))
        }
        None => name.clone(),
    };
    Ok(Some(self::job(&folder, config, out)))
}

fn job(name: &str, config: Config, out: &Path) -> Job {
    // A recipe's file may lie anywhere: its name without the ending is the folder's.
    let folder = name.trim_end_matches(".toml").trim_start_matches(['.', '/']);
    let seed = config.train.seed;
    let folder = out.join(folder).join(format!("seed-{seed}"));
    Job { recipe: name.into(), seed, folder, config, first: None, teacher: None }
}

/// A recipe with the flags over it. `--epochs` is the length of a one-stage run; a second stage, whose
/// length is its own, becomes shorter or longer in the same proportion as its first stage. Milestones and
/// warm-up that a recipe counts in epochs follow.
fn prepared(name: &str, flags: &Overrides, n: u64) -> Result<Config> {
    let mut config = recipes::load(name)?;
    let usual = match &config.train.after {
        Some(before) => recipes::load(before)?.train.epochs,
        None => config.train.epochs,
    };
    let (own, plan) = (config.train.epochs, config.schedule.clone());
    config.apply(flags)?;
    config.train.seed += n;
    if flags.epochs.is_some() {
        let share = config.train.epochs as f64 / usual as f64;
        let nearest = |epochs: usize| (epochs as f64 * share).round() as usize;
        let scaled = |epochs: usize| nearest(epochs).max(1);
        if config.train.after.is_some() {
            config.train.epochs = scaled(own);
        }
        if flags.warmup_epochs.is_none() {
            config.schedule.warmup_epochs = plan.warmup_epochs.map(nearest);
        }
        let steps = plan.milestones.filter(|_| flags.milestones.is_none());
        let kept = config.schedule.milestones.take();
        config.schedule.milestones = steps.map(|list| {
            // Milestones must rise, however short the run.
            let mut last = 0;
            list.into_iter()
                .map(|m| {
                    last = scaled(m).max(last + 1);
                    last
                })
                .collect()
        });
        config.schedule.milestones = config.schedule.milestones.or(kept);
    }
    Ok(config)
}

/// Settings whose change is no difference of method.
const INDIFFERENT: [&str; 12] = [
    "data",
    "stream",
    "seed",
    "device",
    "log_steps",
    "eval_every",
    "init",
    "after_epochs",
    "teacher_from",
    "teacher_epochs",
    "skip_bad",
    "max_steps",
];

/// In words: the settings in which `config` differs from the recipe `name`.
///
/// # Errors
/// A recipe that cannot be read any more.
pub fn differences(name: &str, config: &Config) -> Result<Vec<String>> {
    let lines = |c: &Config| -> Result<Vec<String>> {
        Ok(c.to_toml()?.lines().filter(|l| l.contains('=')).map(String::from).collect())
    };
    let (usual, now) = (lines(&recipes::load(name)?)?, lines(config)?);
    let value = |all: &[String], i: usize| {
        let line = all[i].split("  #").next().unwrap_or_default();
        line.rsplit_once(" = ").map_or("unset", |(_, v)| v.trim()).trim_matches('"').to_string()
    };
    let mut found = Vec::new();
    // A line of comment comes before the settings.
    let skip = now.len().saturating_sub(KEYS.len());
    for (i, key) in KEYS.iter().enumerate().filter(|(_, k)| !INDIFFERENT.contains(&k.name)) {
        let (was, is) = (value(&usual, i + skip), value(&now, i + skip));
        if was != is {
            found.push(format!("{} {is} instead of {was}", key.name));
        }
    }
    Ok(found)
}

/// Runs the jobs that are not finished, one at a time on each device (the usual one where none is named), first
/// stages before the runs that start from them, with a line on stderr for each run.
///
/// # Errors
/// What stopped a run, after the others have ended.
pub fn run_all(jobs: &[Job], devices: &[String]) -> Result<()> {
    let devices: Vec<Option<String>> = match devices {
        [] => vec![None],
        some => some.iter().cloned().map(Some).collect(),
    };
    let tell = &|line: &str| eprintln!("{line}");
    let mut failures = Vec::new();
    for stage in [false, true] {
        let queue: Mutex<VecDeque<&Job>> =
            Mutex::new(jobs.iter().filter(|j| j.waits() == stage).collect());
        let next = || queue.lock().ok().and_then(|mut q| q.pop_front());
        let found = std::thread::scope(|scope| {
            let workers: Vec<_> = devices
                .iter()
                .map(|device| {
                    scope.spawn(move || {
                        let mut failed = Vec::new();
                        while let Some(job) = next() {
                            match run(job, device.as_deref()) {
                                Ok(word) => {
                                    tell(&format!("{} seed {}: {word}", job.recipe, job.seed))
                                }
                                Err(e) => {
                                    tell(&format!("{} seed {}: {e}", job.recipe, job.seed));
                                    failed.push(format!("{} seed {}", job.recipe, job.seed));
                                }
                            }
                        }
                        failed
                    })
                })
                .collect();
            workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        failures.extend(found);
    }
    match failures.as_slice() {
        [] => Ok(()),
        some => Err(Error::Failure(format!(
            "not finished: {}; repeat the command to go on",
            some.join(", ")
        ))),
    }
}

/// Runs a job in a process of its own, unless it is finished.
fn run(job: &Job, device: Option<&str>) -> Result<&'static str> {
    let mut config = job.config.clone();
    for (what, folder) in [("first stage", &job.first), ("teacher", &job.teacher)] {
        let Some(folder) = folder else { continue };
        if !stages::last_checkpoint(folder).exists() {
            return Err(Error::Failure(format!("its {what} is not there")));
        }
        config = match what {
            "teacher" => stages::taught_from(&config, folder),
            _ => stages::from_checkpoint(&config, folder),
        };
    }
    let resume = match stages::state(&config, &job.folder)? {
        State::Finished => return Ok("was there"),
        State::Begun => true,
        State::New => false,
    };
    let program = std::env::current_exe()
        .map_err(|e| Error::Failure(format!("this program's own file is not known: {e}")))?;
    let mut command = Command::new(program);
    command.arg("train").arg("--quiet").arg("--out").arg(&job.folder);
    if resume {
        command.arg("--resume");
    } else {
        let file = job.folder.with_extension("toml");
        let parent = file.parent().unwrap_or(&file);
        std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        super::atomic::write_atomic(&file, config.to_toml()?.as_bytes())?;
        command.arg(&file);
    }
    if let Some(device) = device {
        command.args(["--device", device]);
    }
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| Error::Failure(format!("a run could not be started: {e}")))?;
    if output.status.success() {
        return Ok(if resume { "gone on with, done" } else { "done" });
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let said = text.lines().rev().find_map(|l| l.strip_prefix("evenkeel: ")).unwrap_or("no word");
    Err(Error::Failure(said.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Overrides {
        Overrides {
            dataset: Some("synthetic".into()),
            model: Some("small".into()),
            epochs: Some("50".into()),
            ..Overrides::default()
        }
    }

    #[test]
    fn a_first_stage_is_run_once_and_before() {
        let names: Vec<String> =
            ["cifar10-lt/crt", "cifar10-lt/ce", "cifar10-lt/lws"].map(String::from).to_vec();
        let jobs = jobs(&names, &flags(), 2, Path::new("x")).unwrap();
        let listed: Vec<(String, u64)> = jobs.iter().map(|j| (j.recipe.clone(), j.seed)).collect();
        assert_eq!(jobs.len(), 6, "{listed:?}");
        assert_eq!(listed[0], ("cifar10-lt/ce".into(), 0));
        assert_eq!(listed[1], ("cifar10-lt/ce".into(), 1));
        let crt = jobs.iter().find(|j| j.recipe.ends_with("crt")).unwrap();
        assert_eq!(crt.first.as_deref(), Some(jobs[0].folder.as_path()));
        // 30 epochs after 200 are 8 after 50, their milestones 10 and 20 are 3 and 5.
        assert_eq!(crt.config.train.epochs, 8);
        assert_eq!(crt.config.schedule.milestones, Some(vec![3, 5]));
        assert_eq!(jobs[0].config.train.epochs, 50);
    }

    #[test]
    fn differences_from_the_recipe_are_told() {
        let name = "cifar10-lt/ldam-drw".to_string();
        let jobs = jobs(std::slice::from_ref(&name), &flags(), 1, Path::new("x")).unwrap();
        let found = differences(&name, &jobs[0].config).unwrap();
        for part in ["epochs 50 instead of 200", "model small instead of resnet32"] {
            assert!(found.iter().any(|d| d == part), "{found:?}");
        }
        assert_eq!(found.len(), 3, "{found:?}"); // and the data set
    }

    #[test]
    fn spread_is_the_samples() {
        let s = Spread::of(&[1.0, 2.0, 4.0]).unwrap();
        assert!((s.mean - 7.0 / 3.0).abs() < 1e-12 && (s.std.unwrap() - 1.5275252).abs() < 1e-6);
        assert_eq!(Spread::of(&[0.5]).unwrap().std, None);
        assert!(Spread::of(&[]).is_none());
    }

    #[test]
    fn every_recipe_that_comes_along_is_valid() {
        for (name, _) in recipes::all() {
            let method = recipes::method(name).unwrap();
            assert!(!method.title.is_empty() && !method.paper.is_empty(), "{name}");
            assert!(method.published.is_none() || !method.source.is_empty(), "{name}");
            let names = [(*name).to_string()];
            jobs(&names, &flags(), 1, Path::new("x")).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
