//! `evenkeel train FOLDER`: a folder of images becomes a recipe.
//!
//! Folder → what lies in it ([`survey`]) → counts, head to tail, and the recipe with its reasons as
//! text → the [`Config`] that the trainer takes, and that `config.toml` keeps.

use crate::data::survey::{Survey, TestFrom, root, survey};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::train::config::{Config, Overrides};
use crate::train::metrics::{Shot, clean, pad, shown};
use crate::train::recommend::{Advice, recommend, work};
use std::path::Path;
use unicode_width::UnicodeWidthStr;

/// The recipe for the images in `folder` under the flags, and what there is to say about it.
///
/// # Errors
/// A folder of something else, or one that the run in `out` would lie in; flags that contradict each
/// other; no device.
pub fn prepare(folder: &Path, out: Option<&Path>, flags: &Overrides) -> Result<(Config, String)> {
    something_else(folder, flags)?;
    apart(folder, out.unwrap_or(Path::new("runs")))?;
    let place = root(folder)?;
    let mut config = Config::default();
    config.data.dataset = "folder".into();
    config.data.data = Some(place.clone());
    config.data.imbalance = 1.0;
    config.apply(flags)?;
    config.validate()?;
    let found = survey(&config.data)?;
    let given: Vec<&str> = flags.given().iter().map(|(key, _)| key.name).collect();
    let software = Gpu::open(config.train.device.as_deref())?.caps.software;
    let advice = recommend(&mut config, &given, &found, software);
    let mut text = String::new();
    if place != folder {
        text += &format!("{}: no test/ or val/ beside it, so it is split\n", place.display());
    }
    text += &describe(&found, &config);
    text += &recipe(&advice, &config, &found);
    Ok((config, text))
}

/// A run inside the folder would be one more class for the next one.
fn apart(folder: &Path, out: &Path) -> Result<()> {
    let full = |path: &Path| path.canonicalize().ok();
    let there = out.ancestors().map(|p| if p == Path::new("") { Path::new(".") } else { p });
    match (full(folder), there.into_iter().find_map(full)) {
        (Some(folder), Some(place)) if place.starts_with(&folder) => Err(Error::usage(format!(
            "{}: the run would be a folder among the images; choose another place with --out",
            out.display()
        ))),
        _ => Ok(()),
    }
}

/// Folders that are known to be no folder of images, with the command that fits.
fn something_else(folder: &Path, flags: &Overrides) -> Result<()> {
    let shown = folder.display();
    let wrong = |text: String| Err(Error::usage(format!("{shown}: {text}")));
    if flags.data.is_some() || flags.dataset.as_deref().is_some_and(|d| d != "folder") {
        return wrong(
            "this folder is the data already; leave --dataset and --data out, or the folder".into(),
        );
    }
    if folder.join("config.toml").is_file() && folder.join("checkpoint").is_dir() {
        return wrong(format!("holds a run; continue it with --resume --out {shown}"));
    }
    for (file, dataset) in
        [("data_batch_1.bin", "cifar10"), ("train.bin", "cifar100"), ("train.txt", "list")]
    {
        if folder.join(file).is_file() {
            return wrong(format!("has {file}; give --dataset {dataset} --data {shown}"));
        }
    }
    Ok(())
}

/// What lies in the folder: images, split, classes head to tail, imbalance.
fn describe(found: &Survey, config: &Config) -> String {
    let tested: usize = found.test.iter().sum();
    let split = match found.test_from {
        TestFrom::Folder => "of a folder of their own".to_string(),
        TestFrom::Chosen => format!(
            "one in five of each class, chosen by seed {} (--data-seed; a test/ folder beside train/ is used instead)",
            config.data.seed
        ),
    };
    let mut text = format!(
        "{}: {} classes, {} images to train on, {tested} to test on: {split}\n",
        clean(&found.name),
        found.classes.len(),
        found.images()
    );
    if let Some([least, median, most]) = found.sides {
        text += &format!("shorter sides: {least} to {most} pixels, median {median}\n");
    }
    text += &classes(found);
    let shots = |shot| found.train.iter().filter(|n| Shot::of(**n) == shot).count();
    text += &format!(
        "imbalance: {:.1}; classes of many (> 100) images: {}, medium: {}, few (< 20): {}\n",
        found.ratio(),
        shots(Shot::Many),
        shots(Shot::Medium),
        shots(Shot::Few)
    );
    let untested: Vec<String> = (0..found.classes.len())
        .filter(|c| found.test[*c] == 0)
        .map(|c| clean(&found.classes[c]))
        .collect();
    if !untested.is_empty() {
        let (head, _) = shown(untested.len());
        let more = if head < untested.len() { ", …" } else { "" };
        text += &format!(
            "trained on, but not tested, for want of a second image: {}{more}\n",
            untested[..head].join(", ")
        );
    }
    text
}

/// The table of counts, most frequent first, the middle of a long one left out.
fn classes(found: &Survey) -> String {
    let mut order: Vec<usize> = (0..found.classes.len()).collect();
    order.sort_by_key(|c| std::cmp::Reverse(found.train[*c]));
    let (head, tail) = shown(order.len());
    let hidden = head..order.len() - tail;
    let names: Vec<String> = found.classes.iter().map(|n| clean(n)).collect();
    let width = names.iter().map(|n| n.width()).chain([5]).max().unwrap_or(5);
    let most = found.train.iter().max().copied().unwrap_or(1).max(1);
    let mut text = format!("  {}   train    test\n", pad("class", width));
    for (at, c) in order.iter().enumerate() {
        if hidden.contains(&at) {
            if at == hidden.start {
                text += &format!("  … {} more classes …\n", hidden.len());
            }
            continue;
        }
        let bar = "█".repeat((found.train[*c] * 24).div_ceil(most));
        text += &format!(
            "  {}  {:>6}  {:>6}  {bar}\n",
            pad(&names[*c], width),
            found.train[*c],
            found.test[*c]
        );
    }
    text
}

fn recipe(advice: &[Advice], config: &Config, found: &Survey) -> String {
    let mut text = String::from("recipe (a flag of the same name overrides each):\n");
    let width = advice.iter().map(|a| a.value.width()).max().unwrap_or(0);
    for Advice { setting, value, why } in advice {
        text += &format!("  {setting:<10}  {value:<width$}  {why}\n");
    }
    let times = work(config, found.images());
    let times = match times {
        t if t < 0.1 => "less than 0.1".to_string(),
        t if t < 10.0 => format!("{t:.1}"),
        t => format!("{t:.0}"),
    };
    text + &format!("  that is {times} times the work of `evenkeel train` without arguments\n")
}
