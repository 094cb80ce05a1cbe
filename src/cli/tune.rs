//! `evenkeel tune`: searches the kernel variants of each shape and writes the table that every other
//! command reads.

use crate::bench::kernels::{Verified, select};
use crate::bench::tune::{Found, search, untuned};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::table::{Table, user_path};
use crate::train::atomic::write_atomic;
use crate::train::progress::say;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `tune`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Benches whose shapes are tuned, as `evenkeel bench` names them [default: conv small matmul]
    names: Vec<String>,
    /// The table [default: one for this device in the user's cache folder, which is read when a
    /// device is opened]; what it has for other shapes stays
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Timed rounds of each variant
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object a shape on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let usual = ["conv", "small", "matmul"].map(String::from);
    let benches = select(if args.names.is_empty() { &usual } else { &args.names })?;
    let opened = Gpu::open(args.device.as_deref())?;
    let gpu = untuned(&opened);
    let path = args.out.clone().or_else(|| user_path(&gpu.info)).ok_or_else(|| {
        Error::usage("this system names no cache folder: give the table's place with --out FILE")
    })?;
    let mut table = Table {
        device: gpu.info.name.clone(),
        backend: gpu.info.backend.to_string(),
        driver: format!("{} {}", gpu.info.driver, gpu.info.driver_info).trim().into(),
        evenkeel: env!("CARGO_PKG_VERSION").into(),
        choices: if path.is_file() { Table::read(&path)?.choices } else { Vec::new() },
    };
    if !args.json {
        say(format_args!("{}", gpu.describe()));
    }
    let mut verified = Verified::default();
    let mut tuned = 0;
    for bench in &benches {
        let rounds = usize::from(args.rounds);
        let Some(found) = search(&gpu, bench, &mut verified, rounds)? else { continue };
        report(args.json, &bench.name, &found);
        table.choices.retain(|c| c.shape != found.choice.shape);
        table.choices.push(found.choice);
        // Each shape is kept as soon as it is known, so that a search can be stopped.
        write(&path, &table)?;
        tuned += 1;
    }
    if tuned == 0 {
        return Err(Error::usage(
            "none of these has more than one kernel variant on this device: nothing to tune",
        ));
    }
    if !args.json {
        say(format_args!("{tuned} shapes in {}", path.display()));
    }
    Ok(())
}

fn write(path: &std::path::Path, table: &Table) -> Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    }
    write_atomic(path, table.text()?.as_bytes())
}

fn report(as_json: bool, name: &str, found: &Found) {
    let choice = &found.choice;
    if as_json {
        let tried: Vec<Value> =
            found.tried.iter().map(|(v, ms)| json!({"variant": v, "ms": ms})).collect();
        say(format_args!(
            "{}",
            json!({"bench": name, "shape": choice.shape, "variant": choice.variant,
                "ms": choice.ms, "usual": choice.usual, "usual_ms": choice.usual_ms, "tried": tried})
        ));
        return;
    }
    let tried: Vec<String> = found
        .tried
        .iter()
        .map(|(v, ms)| match ms {
            Some(ms) => format!("{v} {ms:.3}"),
            None => format!("{v} slow"),
        })
        .collect();
    say(format_args!(
        "{name:<38} {:<9} {:>5.2}x  ({})",
        choice.variant,
        choice.usual_ms / choice.ms,
        tried.join(", ")
    ));
}
