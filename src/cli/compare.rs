//! `evenkeel compare RECIPE…`: recipes over several seeds, beside each other and the published numbers.

use crate::error::{Error, Result};
use crate::report::comparison;
use crate::train::compare::{jobs, rows, run_all};
use crate::train::config::Overrides;
use crate::train::progress::say;
use crate::train::recipes;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recipes: files, names that `evenkeel methods` lists, or a folder of those such as cifar10-lt
    #[arg(required = true)]
    recipes: Vec<String>,
    /// Runs of each recipe, with seeds from --seed on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Folder of the runs and the table
    #[arg(long, default_value = "runs/compare")]
    out: PathBuf,
    /// Adapters to run on at once, by numbers or parts of names, separated by commas
    #[arg(long, value_delimiter = ',')]
    devices: Vec<String>,
    /// Only the table of what is there
    #[arg(long)]
    table: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.overrides.device.is_some() {
        return Err(Error::usage("compare takes --devices, a list, instead of --device"));
    }
    if args.overrides.init.is_some() || args.overrides.after.is_some() {
        return Err(Error::usage(
            "compare starts runs as their recipes say: leave --init and --after out",
        ));
    }
    let mut names: Vec<String> = Vec::new();
    for name in &args.recipes {
        let within = format!("{}/", name.trim_end_matches('/'));
        let all: Vec<&str> =
            recipes::all().iter().map(|(n, _)| *n).filter(|n| n.starts_with(&within)).collect();
        if all.is_empty() {
            names.push(name.clone());
        }
        names.extend(all.into_iter().map(String::from));
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let jobs = jobs(&names, &args.overrides, args.seeds, &args.out)?;
    let mut outcome = Ok(());
    if !args.table {
        outcome = run_all(&jobs, &args.devices);
    }
    let rows = rows(&names, &jobs)?;
    let [csv, page] = comparison::write(&args.out, &rows)?;
    if args.json {
        say(format_args!("{}", json!({"rows": rows, "csv": csv, "page": page})));
    } else {
        say(format_args!("{}\n{}\n{}", comparison::text(&rows), csv.display(), page.display()));
    }
    outcome
}
