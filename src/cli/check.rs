//! `evenkeel check`: every op with every kernel variant this device can run, against the 64-bit
//! reference; or golden files, against what they hold.

use crate::check::cases::{self, Case};
use crate::check::golden::{Golden, export_inputs};
use crate::check::reference::{OPS, op};
use crate::check::run::{self, Finding};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::train::progress::say;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Golden files to verify (docs/golden.md); without any, every case of every op is run
    files: Vec<PathBuf>,
    /// Only this op
    #[arg(long)]
    op: Option<String>,
    /// Write every case's inputs to DIR as golden files without outputs, and check nothing
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object a line on stdout
    #[arg(long)]
    json: bool,
}

/// The worst comparison of several.
#[derive(Default)]
struct Worst {
    share: f64,
    abs: f64,
    rel: f64,
    text: String,
    failed: usize,
}

impl Worst {
    fn add(&mut self, name: &str, findings: &[Finding]) {
        for f in findings {
            self.abs = self.abs.max(f.report.max_abs);
            self.rel = self.rel.max(f.report.max_rel);
            if f.report.max_share > self.share || (!f.report.ok && self.failed == 0) {
                self.share = f.report.max_share;
                self.text = format!("{name} {}: {}", f.what, f.report);
            }
        }
        self.failed += usize::from(findings.iter().any(|f| !f.report.ok));
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    if let Some(dir) = &args.export {
        let files = export_inputs(dir)?;
        say(format_args!("{} files written to {}", files.len(), dir.display()));
        return Ok(());
    }
    if let Some(name) = &args.op {
        op(name)?;
    }
    let gpu = Gpu::open(args.device.as_deref())?;
    if !args.json {
        say(format_args!("{}", gpu.describe()));
    }
    let failed = if args.files.is_empty() { cases(args, &gpu)? } else { files(args, &gpu)? };
    match failed {
        0 => Ok(()),
        n => Err(Error::Failure(format!("{n} failed"))),
    }
}

fn cases(args: &Args, gpu: &Rc<Gpu>) -> Result<usize> {
    let all = cases::all();
    let mut failed = 0;
    if !args.json {
        say(format_args!(
            "{:<22} {:<9} {:>5} {:>10} {:>10} {:>10}",
            "op", "variant", "cases", "max abs", "max rel", "of bound"
        ));
    }
    for info in OPS.iter().filter(|i| args.op.as_deref().is_none_or(|n| n == i.name)) {
        let chosen: Vec<&Case> = all.iter().filter(|c| c.op == info.name).collect();
        let mut devices = vec![("chosen", gpu.clone())];
        devices.extend(run::variants(info.name).into_iter().map(|v| (v, gpu.preferring(v))));
        for (variant, device) in devices {
            let mut worst = Worst::default();
            let mut beyond = None;
            for case in &chosen {
                match run::case(&device, case) {
                    // Not wrong: this device can't have the kernel at all.
                    Err(Error::Beyond(why)) => beyond = Some(why),
                    found => worst.add(&case.name, &found?),
                }
            }
            if let (Some(why), 0) = (beyond, worst.failed) {
                not_run(args, info.name, variant, &why);
                continue;
            }
            failed += worst.failed;
            report(args, info.name, variant, chosen.len(), &worst, &device);
        }
    }
    Ok(failed)
}

/// An op that this device's limits don't allow, in some case at least.
fn not_run(args: &Args, op: &str, variant: &str, why: &str) {
    if args.json {
        say(format_args!(
            "{}",
            json!({"op": op, "variant": variant, "cases": 0,
            "failed": 0, "beyond": why, "kernels_made": []})
        ));
    } else {
        say(format_args!("{op:<22} {variant:<9} not on this device: {why}"));
    }
}

/// `kernels_made` in the JSON: what ran on `device` so far, for this op or, by the chosen variants, before it.
fn report(args: &Args, op: &str, variant: &str, cases: usize, worst: &Worst, device: &Gpu) {
    if args.json {
        say(format_args!(
            "{}",
            json!({"op": op, "variant": variant, "cases": cases, "failed": worst.failed,
                "max_abs": worst.abs, "max_rel": worst.rel, "share_of_bound": worst.share,
                "worst": worst.text, "kernels_made": device.kernels_made(),
                "pipelines": device.pipelines_made()})
        ));
        return;
    }
    say(format_args!(
        "{op:<22} {variant:<9} {cases:>5} {:>10.1e} {:>10.1e} {:>9.0} %{}",
        worst.abs,
        worst.rel,
        worst.share * 100.0,
        if worst.failed == 0 { "" } else { "  FAILED" }
    ));
    if worst.failed > 0 {
        say(format_args!("    {} cases failed, first {}", worst.failed, worst.text));
    }
}

fn files(args: &Args, gpu: &Rc<Gpu>) -> Result<usize> {
    let mut failed = 0;
    for path in &args.files {
        let file = Golden::read(path)?;
        if args.op.as_ref().is_some_and(|n| *n != file.op) {
            continue;
        }
        let mut findings = run::golden(gpu, &file)?;
        for variant in run::variants(&file.op) {
            for mut found in run::golden(&gpu.preferring(variant), &file)? {
                found.what = format!("{} [{variant}]", found.what);
                findings.push(found);
            }
        }
        let mut worst = Worst::default();
        worst.add(&name(path), &findings);
        failed += worst.failed;
        if args.json {
            report(args, &file.op, "chosen", 1, &worst, gpu);
            continue;
        }
        let verdict = if worst.failed == 0 { "ok    " } else { "FAILED" };
        say(format_args!(
            "{verdict} {} ({}, {} comparisons)",
            path.display(),
            file.op,
            findings.len()
        ));
        for f in findings.iter().filter(|f| !f.report.ok) {
            say(format_args!("    {}: {}", f.what, f.report));
        }
    }
    Ok(failed)
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
