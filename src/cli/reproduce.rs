//! `evenkeel reproduce NAME --data PATH`: a benchmark's table, with many/medium/few, time and device.
//!
//! The benchmark's files, looked for and counted → its recipes, run as `compare` runs them → the table.

use crate::error::{Error, Result};
use crate::report::comparison;
use crate::train::benchmarks;
use crate::train::compare::{jobs, rows, run_all};
use crate::train::config::Overrides;
use crate::train::progress::{say, tell};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `reproduce`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// cifar10-lt, cifar100-lt, imagenet-lt, inaturalist2018 or places-lt
    name: String,
    /// Methods of the table, separated by commas: names that `evenkeel methods` lists for the benchmark, or all
    #[arg(long, value_delimiter = ',')]
    methods: Vec<String>,
    /// Runs of each method, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Folder of the runs and the table [default: runs/<name>]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Adapters to run on at once, by numbers or parts of names, separated by commas
    #[arg(long, value_delimiter = ',')]
    devices: Vec<String>,
    /// Train on what is there, though it is not all of the benchmark
    #[arg(long)]
    partial: bool,
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
    let benchmark = benchmarks::named(&args.name)?;
    let given = &args.overrides;
    for (flag, set, instead) in [
        ("--dataset", given.dataset.is_some(), "the benchmark is the data set"),
        ("--device", given.device.is_some(), "it takes --devices, a list"),
        ("--init", given.init.is_some(), "runs start as their recipes say"),
        ("--after", given.after.is_some(), "runs start as their recipes say"),
    ] {
        if set {
            return Err(Error::usage(format!("reproduce takes no {flag}: {instead}")));
        }
    }
    let names = benchmark.recipes(&args.methods)?;
    let place = given.data.as_ref().ok_or_else(|| benchmark.needed())?;
    let found = benchmark.find(Path::new(place), args.partial)?;
    let flags = Overrides {
        dataset: Some(found.dataset.clone()),
        data: Some(found.data.display().to_string()),
        ..given.clone()
    };
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(benchmark.name));
    let jobs = jobs(&names, &flags, args.seeds, &out)?;
    let [classes, train, test] = found.size;
    let heading =
        format!("{}: {classes} classes, {train} training and {test} test images", benchmark.title);
    let mut outcome = Ok(());
    if !args.table {
        tell(&heading);
        outcome = run_all(&jobs, &args.devices);
    }
    let mut rows = rows(&names, &jobs)?;
    for row in &mut rows {
        row.differs.extend(found.differs.clone());
    }
    let [csv, page] = comparison::write(&out, &rows)?;
    if args.json {
        let of = json!({"name": benchmark.name, "title": benchmark.title, "size": found.size,
            "differs": found.differs});
        let object = json!({"benchmark": of, "rows": rows, "csv": csv, "page": page});
        say(format_args!("{object}"));
    } else {
        let text = comparison::text(&rows);
        say(format_args!("{heading}\n{text}\n{}\n{}", csv.display(), page.display()));
    }
    outcome
}
