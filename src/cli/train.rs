//! `evenkeel train`: the recipe, or one for a folder of images, the flags over it, and the run.

use crate::dist::{self, Group};
use crate::error::{Error, Result};
use crate::train::config::{Config, Overrides};
use crate::train::progress::{say, tell};
use crate::train::run_dir::RunDir;
use crate::train::trainer::Options;
use crate::train::{recipes, stages};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recipe to start from, a file or a name that `evenkeel methods` lists; or a folder of images, a
    /// folder a class. Flags override it
    #[arg(value_name = "RECIPE|FOLDER")]
    recipe: Option<String>,
    /// Folder of the run [default: runs/<dataset>-<model>-<norm>-<n>]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Continue the run in --out
    #[arg(long)]
    resume: bool,
    /// One JSON object a line on stdout: steps (with --log-steps), epochs, done
    #[arg(long)]
    json: bool,
    /// No progress display
    #[arg(long)]
    quiet: bool,
    /// When a number is not finite, name the op and layer that made it
    #[arg(long)]
    trace_nan: bool,
    /// Lose the device before this step: for tests
    #[arg(long, hide = true, value_name = "STEP")]
    lose_device_at: Option<u32>,
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let group = Rc::new(dist::launched()?);
    group.end(train(args, &group))
}

fn train(args: &Args, group: &Rc<Group>) -> Result<()> {
    let config = match group.size() {
        1 => recipe(args)?,
        _ => Config::from_toml_str(&group.lead(|| recipe(args)?.to_toml())?)?,
    };
    let options = Options {
        out: args.out.clone(),
        resume: args.resume,
        json: args.json,
        quiet: args.quiet,
        trace_nan: args.trace_nan,
        lose_device_at: args.lose_device_at,
        stop: on_ctrl_c()?,
        group: group.clone(),
    };
    let outcome = stages::run(&config, &options)?;
    if !group.leads() {
        return Ok(());
    }
    let page = crate::report::of_folders(&[&outcome.out])?;
    if !args.json {
        say(format_args!("report: {}", page.display()));
    }
    Ok(())
}

/// What is trained: the run's own recipe, one for a folder of images, or the one named; with the flags.
fn recipe(args: &Args) -> Result<Config> {
    match (&args.out, args.resume) {
        (Some(out), true) => continued(out, args),
        (None, true) => Err(Error::usage("--resume needs --out DIR, the run to continue")),
        _ if args.recipe.as_ref().is_some_and(|p| Path::new(p).is_dir()) => photos(args),
        _ => {
            let mut config = match &args.recipe {
                Some(name) => recipes::load(name).map_err(|e| match Path::new(name).exists() {
                    true => e,
                    false => Error::usage(format!("{name}: no such file or folder; {e}")),
                })?,
                None => Config::default(),
            };
            config.apply(&args.overrides)?;
            Ok(config)
        }
    }
}

/// The recipe for a folder of images, told before it is run.
fn photos(args: &Args) -> Result<Config> {
    let folder = Path::new(args.recipe.as_deref().unwrap_or("."));
    let (config, text) = super::photos::prepare(folder, args.out.as_deref(), &args.overrides)?;
    if !args.quiet {
        tell(text.trim_end());
    }
    Ok(config)
}

/// The recipe of the run in `out`; only what doesn't change its numbers may be given anew.
fn continued(out: &Path, args: &Args) -> Result<Config> {
    if args.recipe.is_some() {
        return Err(Error::usage(
            "--resume takes the run's own recipe; leave the file or folder out",
        ));
    }
    let kept = RunDir::peek_config(out)?;
    let mut config = kept.clone();
    config.apply(&args.overrides)?;
    let mut same = config.clone();
    same.train.device = kept.train.device.clone();
    same.train.max_steps = kept.train.max_steps;
    same.train.log_steps = kept.train.log_steps;
    if same != kept {
        return Err(Error::usage(
            "a resumed run keeps its recipe: only --device, --max-steps and --log-steps may change",
        ));
    }
    // A resumed run goes on to its end unless told otherwise.
    if args.overrides.max_steps.is_none() {
        config.train.max_steps = None;
    }
    Ok(config)
}

/// A flag that the first Ctrl-C sets; a second one ends the program at once.
fn on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step; Ctrl-C again ends at once without saving");
    })
    .map_err(|e| Error::Failure(format!("cannot listen for Ctrl-C: {e}")))?;
    on_termination(&stop)?;
    Ok(stop)
}

/// SIGTERM, by which mpirun and batch systems ask for an end, sets the flag too.
#[cfg(unix)]
fn on_termination(stop: &Arc<AtomicBool>) -> Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone())
        .map(|_| ())
        .map_err(|e| Error::Failure(format!("cannot listen for SIGTERM: {e}")))
}

#[cfg(not(unix))]
fn on_termination(_: &Arc<AtomicBool>) -> Result<()> {
    Ok(())
}
