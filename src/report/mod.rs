//! The report of one run, or of two side by side: what is in their folders → one HTML file that needs
//! nothing else, with charts as inline SVG and the numbers behind them as tables.
//!
//! [`Run::read`] (recipe, metrics, checkpoint, features; what is missing becomes a note) →
//! [`sections`](self) (charts and tables) → [`write()`], `report.html` in the first run's folder. The
//! numbers are in the page once more as JSON, for programs and for the test that recomputes them.

mod chart;
pub mod comparison;
mod layers;
mod page;
mod run;
mod sections;
pub mod step;
mod strength;

pub use chart::number;
pub use run::{Epoch, Run, checkpoints};

use crate::error::{Error, Result};
use crate::train::atomic::write_atomic;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The page's name in a run's folder.
pub const FILE: &str = "report.html";

/// Writes the report of `runs` (one or two) into the first one's folder.
///
/// # Errors
/// No run, more than two, or a file that cannot be written.
pub fn write(runs: &mut [Run]) -> Result<PathBuf> {
    if runs.is_empty() || runs.len() > 2 {
        return Err(Error::usage("a report shows one run or two"));
    }
    name_apart(runs);
    let page = page::page(runs, &numbers(runs))?.into_string();
    let path = runs[0].path.join(FILE);
    write_atomic(&path, page.as_bytes())?;
    Ok(path)
}

/// Reads the runs in `folders` and writes their report.
///
/// # Errors
/// As [`Run::read`] and [`write()`].
pub fn of_folders(folders: &[&Path]) -> Result<PathBuf> {
    let mut runs = folders.iter().map(|f| Run::read(f)).collect::<Result<Vec<_>>>()?;
    write(&mut runs)
}

/// Two runs of one norm are told apart by their folders, or by a number.
fn name_apart(runs: &mut [Run]) {
    let [a, b] = runs else { return };
    if a.name == b.name {
        (a.name, b.name) = (a.folder_name(), b.folder_name());
    }
    if a.name == b.name {
        a.name += " (1)";
        b.name += " (2)";
    }
}

/// What can be compared between the runs only with care.
fn differences(runs: &[Run]) -> Vec<String> {
    let [a, b] = runs else { return Vec::new() };
    let mut notes = Vec::new();
    if let (Some(x), Some(y)) = (&a.about, &b.about) {
        if x.model != y.model {
            notes.push(format!(
                "The runs have different models, {} and {}: layers are compared where their names agree.",
                x.model, y.model
            ));
        }
        if x.classes != y.classes || x.counts != y.counts {
            notes.push("The runs were trained on different classes or counts.".into());
        }
    }
    if let (Some(x), Some(y)) = (&a.config, &b.config) {
        let (x, y) = (&x.train, &y.train);
        if x.epochs != y.epochs || x.batch_size != y.batch_size {
            notes.push(format!(
                "The runs were trained differently: {} epochs of batches of {}, and {} of {}.",
                x.epochs, x.batch_size, y.epochs, y.batch_size
            ));
        }
    }
    notes
}

/// Every number of the page.
fn numbers(runs: &[Run]) -> Value {
    let of = |run: &Run| {
        let (classes, counts) = run.classes();
        let tested = run.tested();
        let last = run.epochs.last();
        json!({
            "name": run.name, "folder": run.folder_name(), "step": run.step,
            "classes": classes, "counts": counts, "alpha": run.alpha,
            "test": tested.map(|(_, s)| s), "tested_epoch": tested.map(|(e, _)| e.epoch),
            "mistakes": tested.and_then(|(e, _)| e.confusion.as_ref()),
            "layers": run.layers, "features": run.features.as_ref().map(|f| json!({
                "channels": f.channels, "images": f.images,
                "frequent_classes": f.frequent_classes, "rare_classes": f.rare_classes,
                "frequent_channels": f.frequent_channels, "rare_channels": f.rare_channels,
                "on_rare": f.on_rare, "on_frequent": f.on_frequent,
            })),
            "gradients": last.and_then(|e| e.inside.as_ref()).map(|i| &i.gradients),
            "epochs": run.epochs.iter().map(|e| json!({
                "epoch": e.epoch, "loss": e.loss, "train_accuracy": e.train_accuracy,
                "images_per_second": e.images_per_second,
                "test": e.test.as_ref().map(|t| t.overall),
            })).collect::<Vec<_>>(),
            "notes": run.notes,
        })
    };
    json!({ "runs": runs.iter().map(of).collect::<Vec<_>>(), "notes": differences(runs) })
}
