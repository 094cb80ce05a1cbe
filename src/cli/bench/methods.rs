//! `evenkeel bench methods`: whether a method's step costs more than its extra launches explain.

use super::Measuring;
use super::limits::as_json as limits_json;
use crate::bench::limits::measure;
use crate::bench::methods::{MethodsSpec, Row, SLACK, Stage};
use crate::error::{Error, Result, unknown};
use crate::gpu::Gpu;
use crate::nn::MODELS;
use crate::train::config::Config;
use crate::train::progress::say;
use crate::train::recipes;
use serde_json::json;

/// The benchmark whose recipes are measured without names.
const USUAL: &str = "cifar10-lt";

/// Arguments of `bench methods`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recipes of one benchmark [default: all of cifar10-lt]
    recipes: Vec<String>,
    /// Network
    #[arg(long, default_value = "resnet32")]
    model: String,
    /// Images in a batch
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..))]
    batch_size: u16,
    #[command(flatten)]
    how: Measuring,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let how = &args.how;
    let known: Vec<&str> = MODELS.iter().map(|arch| arch.name).collect();
    if !known.contains(&args.model.as_str()) {
        return Err(unknown("model", &args.model, &known));
    }
    let (ce, recipes) = chosen(&args.recipes)?;
    let gpu = Gpu::open(how.device.as_deref())?;
    let limits = measure(&gpu, how.rounds(), how.basis())?;
    let spec = MethodsSpec {
        model: args.model.clone(),
        batch_size: usize::from(args.batch_size),
        rounds: how.rounds(),
        basis: how.basis(),
    };
    let (classes, largest) = if ce.data.dataset == "cifar100" { (100, 500) } else { (10, 5000) };
    let stage = Stage::new(&gpu, &spec, classes, largest)?;
    if how.json {
        say(format_args!("{}", limits_json(&gpu, &limits, how)));
    } else {
        say(format_args!(
            "{}\n{}, batch {}; times over cross-entropy's, {} rounds in turn, by {}\n",
            gpu.describe(),
            spec.model,
            spec.batch_size,
            spec.rounds,
            if how.cpu_time { "processor time" } else { "the clock on the wall" }
        ));
        say(format_args!(
            "{:<36} {:>8} {:>9} {:>9} {:>9} {:>8} {:>8} {:>7} {:>9} {:>8}",
            "recipe",
            "launches",
            "GFLOP",
            "MB",
            "step ms",
            "model",
            "measured",
            "excess",
            "order µs",
            "steps"
        ));
    }
    let rows = stage.measure(&ce, &recipes, &limits, |row| report(how.json, row))?;
    let over: Vec<&str> =
        rows.iter().filter(|r| !r.explained()).map(|r| r.recipe.as_str()).collect();
    if !how.json {
        let percent = (SLACK - 1.0) * 100.0;
        match over.as_slice() {
            [] => say(format_args!(
                "\nno step takes over {percent:.0} % more than its launches explain"
            )),
            some => say(format_args!(
                "\nover {percent:.0} % more than their launches explain (*): {}",
                some.join(", ")
            )),
        }
    }
    Ok(())
}

/// Cross-entropy of the recipes' benchmark, and the recipes.
fn chosen(names: &[String]) -> Result<(Config, Vec<(String, Config)>)> {
    let names: Vec<String> = if names.is_empty() {
        let all = recipes::all().iter().map(|(name, _)| (*name).to_string());
        all.filter(|name| name.split('/').next() == Some(USUAL)).collect()
    } else {
        names.to_vec()
    };
    let loaded: Vec<(String, Config)> =
        names.into_iter().map(|n| recipes::load(&n).map(|c| (n, c))).collect::<Result<_>>()?;
    let sets: Vec<&str> = loaded.iter().map(|(_, c)| c.data.dataset.as_str()).collect();
    if let Some(other) = sets.iter().find(|s| **s != sets[0]) {
        return Err(Error::usage(format!(
            "recipes of {} and {other}: give those of one benchmark",
            sets[0]
        )));
    }
    let ce = if sets[0] == "cifar100" { "cifar100-lt/ce" } else { "cifar10-lt/ce" };
    Ok((recipes::load(ce)?, loaded))
}

/// A row, marked where its launches do not explain it.
fn report(as_json: bool, row: &Row) {
    if as_json {
        let explained = row.explained();
        say(format_args!("{}", json!({"bench": "methods", "row": row, "explained": explained})));
        return;
    }
    say(format_args!(
        "{:<36} {:>8} {:>9.3} {:>9.1} {:>9.1} {:>8.3} {:>8.3} {:>6.2}{} {:>9.1} {:>8}",
        row.recipe,
        row.dispatches,
        row.flops as f64 / 1e9,
        row.bytes as f64 / 1e6,
        row.step_ms,
        row.modelled,
        row.measured,
        row.excess(),
        if row.explained() { " " } else { "*" },
        row.order_us,
        row.steps
    ));
}
