//! The model card of a finished run: what a network was trained on, how, and what it gets right.
//!
//! [`Card`] (recipe, counts, confusion matrix, calibration of the last checkpoint) → Markdown, kept as
//! `model-card.md` in the run's folder, beside `checkpoint/`. It states what was counted and measured, no
//! more; the same run writes the same bytes.

use super::about::About;
use super::calibration::{Calibration, FittedOn, Quality};
use super::config::{Config, Norm, Post};
use super::metrics::{Confusion, FEW_BELOW, MANY_ABOVE, Shot, Summary};
use crate::error::Result;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Classes tested on fewer images are named: one image more or less is 10 points of accuracy.
const FEW_TESTED: u32 = 10;
/// The most frequent mistakes that are listed.
const MISTAKES: usize = 10;
/// Names of classes and files in one line, at most.
const NAMED: usize = 20;

/// What a card is made of; all of it describes the checkpoint of the last epoch.
pub struct Card<'a> {
    /// The recipe.
    pub config: &'a Config,
    /// Network, class names, training counts.
    pub about: &'a About,
    /// The data set's name.
    pub data: &'a str,
    /// Test images were chosen from the folder by seed, not given apart.
    pub chosen: bool,
    /// Files left out, and why.
    pub skipped: &'a [String],
    /// Images of each class that were kept from training to calibrate on.
    pub held: Option<Vec<usize>>,
    /// Test results.
    pub confusion: &'a Confusion,
    /// The temperature, or why there is none.
    pub calibration: std::result::Result<&'a Calibration, &'a str>,
    /// On the test images at temperature 1, and at the fitted one.
    pub quality: (Quality, Option<Quality>),
    /// Adapter and driver.
    pub device: &'a str,
    /// Optimizer steps taken.
    pub step: u32,
    /// Best overall test accuracy of an epoch, which chose `best.safetensors`.
    pub best: f64,
}

impl Card<'_> {
    /// The card's file in a run's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("model-card.md")
    }

    /// The card as Markdown.
    ///
    /// # Errors
    /// No test image, or counts of another number of classes.
    pub fn markdown(&self) -> Result<String> {
        let summary = self.confusion.summary(&self.about.counts)?;
        let mut text = format!(
            "# Model card: {}, {}\n\nWritten by evenkeel {} at the end of training. It describes \
             `checkpoint/last.safetensors`; `config.toml` repeats the run.\n",
            cell(self.data),
            self.about.model,
            env!("CARGO_PKG_VERSION"),
        );
        text += &section("Trained on", &self.trained_on());
        text += &section("How", &self.how()?);
        text += "\n## Accuracy\n\n";
        text += &self.groups(&summary);
        text += "\n";
        text += &self.classes(&summary);
        text += &section("Probabilities", &self.probabilities());
        text += &section("Limits", &self.limits(&summary));
        Ok(text)
    }

    fn trained_on(&self) -> Vec<String> {
        let counts = &self.about.counts;
        let tested: u32 = self.confusion.mistakes(0).tested.iter().sum();
        let held: usize = self.held.iter().flatten().sum();
        let held = if held > 0 { format!(", {held} to calibrate on") } else { String::new() };
        let mut lines = vec![format!(
            "{} ({}): {} classes, {} training images{held}, {tested} test images",
            cell(self.data),
            self.config.data.dataset,
            counts.len(),
            counts.iter().sum::<usize>(),
        )];
        let class = |c: usize| cell(&self.about.classes[c]);
        let order = self.order();
        if let (Some(first), Some(last)) = (order.first(), order.last()) {
            lines.push(format!(
                "training images of a class: {} ({}) to {} ({}), ratio {:.1}",
                counts[*first],
                class(*first),
                counts[*last],
                class(*last),
                counts[*first] as f64 / counts[*last].max(1) as f64
            ));
        }
        if self.chosen {
            let seed = self.config.data.seed;
            lines.push(format!(
                "test images: one in five of each class, chosen by seed {seed} from the same folder"
            ));
        }
        let [_, h, w] = self.about.shape;
        lines.push(format!(
            "images of {w} × {h} pixels; larger ones are shrunk, then cropped at the centre"
        ));
        if !self.skipped.is_empty() {
            let n = self.skipped.len();
            lines.push(format!("left out, {n}: {}", listed(self.skipped.iter().map(|s| cell(s)))));
        }
        lines
    }

    fn how(&self) -> Result<Vec<String>> {
        let Config { model, optim, schedule, loss, input, train, .. } = self.config;
        let norm = match model.norm {
            Norm::Bn => "batch norm (BN)".to_string(),
            Norm::TransNorm => "batch norm with statistics by domain (TransNorm)".to_string(),
            Norm::Nbn => format!(
                "normalized batch norm (NBN) in the layers `{}`, batch norm elsewhere",
                model.nbn_layers
            ),
        };
        let mut lines = vec![
            format!("network: {}; {norm}; head: {}", model.model, model.head.name()),
            format!(
                "loss: {}, label smoothing {}, class weights {}, logit adjustment {}",
                loss.loss,
                loss.label_smoothing,
                loss.class_weights.name(),
                loss.logit_adjust
            ),
            format!(
                "{} epochs ({} steps) of batches of {}, augmentation {}, seed {}",
                train.epochs,
                self.step,
                train.batch_size,
                input.augment.name(),
                train.seed
            ),
            format!(
                "SGD: rate {} ({}), momentum {}, weight decay {}",
                optim.lr,
                schedule.schedule.name(),
                optim.momentum,
                optim.weight_decay
            ),
            format!("device: {}", cell(self.device)),
        ];
        let others = others(self.config)?;
        if !others.is_empty() {
            lines.push(format!("other settings that are not the default: {}", others.join(", ")));
        }
        Ok(lines)
    }

    /// Classes by falling training count.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.about.counts.len()).collect();
        order.sort_by_key(|c| std::cmp::Reverse(self.about.counts[*c]));
        order
    }

    fn groups(&self, summary: &Summary) -> String {
        let mut text =
            String::from("| | classes | training images | accuracy |\n|---|--:|--:|--:|\n");
        let counts = &self.about.counts;
        let mut row = |name: &str, shot: Option<Shot>, value: Option<f64>| {
            let of = counts.iter().filter(|n| shot.is_none_or(|s| Shot::of(**n) == s));
            let (classes, images) = of.fold((0, 0), |(k, sum), n| (k + 1, sum + n));
            let _ = writeln!(text, "| {name} | {classes} | {images} | {} |", percent(value));
        };
        row(&format!("many (> {MANY_ABOVE})"), Some(Shot::Many), summary.many);
        row(&format!("medium ({FEW_BELOW}–{MANY_ABOVE})"), Some(Shot::Medium), summary.medium);
        row(&format!("few (< {FEW_BELOW})"), Some(Shot::Few), summary.few);
        row("mean of classes", None, Some(summary.mean_class));
        row("all test images", None, Some(summary.overall));
        text
    }

    fn classes(&self, summary: &Summary) -> String {
        let tested = self.confusion.mistakes(0).tested;
        let precision = self.confusion.precisions();
        let mut text = String::from(
            "| class | training images | test images | accuracy (recall) | precision |\n|---|--:|--:|--:|--:|\n",
        );
        for c in self.order() {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                cell(&self.about.classes[c]),
                self.about.counts[c],
                tested[c],
                percent(summary.per_class[c]),
                percent(precision[c])
            );
        }
        text += "\nAccuracy: of the class's test images, those recognized. Precision: of the test \
                 images taken for the class, those that are of it.\n";
        text
    }

    fn probabilities(&self) -> Vec<String> {
        let mut lines = vec![match self.calibration {
            Ok(c) => c.line(),
            Err(why) => format!("not calibrated: {why}"),
        }];
        let (before, after) = self.quality;
        let show = |q: Quality| format!("NLL {:.4}, ECE {}", q.nll, percent(Some(q.ece)));
        lines.push(format!("on the test images, temperature 1: {}", show(before)));
        if let (Some(after), Ok(c)) = (after, self.calibration) {
            lines.push(format!(
                "on the test images, temperature {:.4}: {}",
                c.temperature,
                show(after)
            ));
            if c.fitted_on == FittedOn::Test {
                lines.push(
                    "fitted and measured on the same images: elsewhere worse is to be expected"
                        .into(),
                );
            }
        }
        let (loss, adjust) = (self.config.loss.loss.as_str(), self.config.loss.logit_adjust);
        let balanced = ["balanced-softmax", "logit-adjustment"].contains(&loss)
            || adjust != 0.0
            || self.config.model.post == Post::LogitAdjustment;
        if balanced {
            lines.push("logits are adjusted by class frequency: probabilities stand for classes that are equally frequent".into());
        }
        lines
    }

    fn limits(&self, summary: &Summary) -> Vec<String> {
        let counts = &self.about.counts;
        let names = |of: &dyn Fn(usize) -> bool| {
            let found = (0..counts.len()).filter(|c| of(*c));
            listed(found.map(|c| cell(&self.about.classes[c])))
        };
        let mistakes = self.confusion.mistakes(MISTAKES);
        let mut lines = vec![format!(
            "every image is given one of the {} classes above, also an image of anything else",
            counts.len()
        )];
        let rare = |c: usize| counts[c] < FEW_BELOW;
        if (0..counts.len()).any(rare) {
            lines.push(format!(
                "classes with fewer than {FEW_BELOW} training images: {}; mean accuracy {}",
                names(&rare),
                percent(summary.few)
            ));
        }
        let missed = |c: usize| summary.per_class[c] == Some(0.0);
        if (0..counts.len()).any(missed) {
            lines.push(format!("no test image recognized: {}", names(&missed)));
        }
        let untested = |c: usize| mistakes.tested[c] == 0;
        if (0..counts.len()).any(untested) {
            lines.push(format!("not tested, as there is no test image: {}", names(&untested)));
        }
        let thin = |c: usize| (1..FEW_TESTED).contains(&mistakes.tested[c]);
        if (0..counts.len()).any(thin) {
            lines.push(format!(
                "tested on fewer than {FEW_TESTED} images, each worth more than 10 points: {}",
                names(&thin)
            ));
        }
        for (truth, taken, n) in &mistakes.pairs {
            lines.push(format!(
                "{} taken for {}: {n} of {} test images",
                cell(&self.about.classes[*truth]),
                cell(&self.about.classes[*taken]),
                mistakes.tested[*truth]
            ));
        }
        lines.push(format!(
            "`checkpoint/best.safetensors` is the epoch of the highest accuracy ({}) on these same test images",
            percent(Some(self.best))
        ));
        lines
    }
}

/// Settings of `config.toml` that differ from the default and are not told in words.
fn others(config: &Config) -> Result<Vec<String>> {
    const TOLD: &[&str] = &[
        "dataset",
        "data",
        "device",
        "seed",
        "model",
        "norm",
        "nbn_layers",
        "head",
        "loss",
        "label_smoothing",
        "class_weights",
        "logit_adjust",
        "epochs",
        "batch_size",
        "augment",
        "lr",
        "schedule",
        "momentum",
        "weight_decay",
    ];
    let (own, default) = (config.to_toml()?, Config::default().to_toml()?);
    let changed = own.lines().zip(default.lines()).filter(|(a, b)| a != b);
    let settings = changed.filter_map(|(line, _)| line.split("  # ").next()?.split_once(" = "));
    Ok(settings
        .filter(|(name, _)| !TOLD.contains(name))
        .map(|(name, value)| format!("{name} = {}", cell(value.trim())))
        .collect())
}

fn section(title: &str, lines: &[String]) -> String {
    let mut text = format!("\n## {title}\n\n");
    for line in lines {
        let _ = writeln!(text, "- {line}");
    }
    text
}

fn percent(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| format!("{:.1} %", 100.0 * v))
}

/// At most [`NAMED`] of the names.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let shown = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED { format!("{shown} and {} more", names.len() - NAMED) } else { shown }
}

/// Text that can break neither a table nor a line, nor be read as markup.
fn cell(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        if c.is_control() {
            safe.push('?');
            continue;
        }
        if "\\|`*_<>[]#".contains(c) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_card() {
        assert_eq!(cell("a|b\n`c`"), "a\\|b?\\`c\\`");
        assert_eq!(listed((0..22).map(|i| i.to_string())).split(", ").count(), NAMED);
        assert!(listed((0..22).map(|i| i.to_string())).ends_with("19 and 2 more"));
    }

    #[test]
    fn a_card_says_what_was_counted() {
        let mut config = Config::default();
        config.data.holdout = 0.25;
        config.optim.nesterov = true;
        // As an old checkpoint has it: what came later has a default.
        let about: About = serde_json::from_value(serde_json::json!({
            "model": "small", "norm": "nbn", "nbn_layers": "last-stage", "head": "linear",
            "classes": ["oak", "a|b", "elm"], "counts": [40, 200, 5], "shape": [3, 32, 32],
            "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2],
        }))
        .unwrap();
        // Oak: 9 of 12 right, 3 taken for a|b; a|b: 20 of 20; elm has no test image.
        let confusion = Confusion::from_counts(3, vec![9, 3, 0, 0, 20, 0, 0, 0, 0]).unwrap();
        let (before, after) = (Quality { nll: 0.5, ece: 0.1 }, Quality { nll: 0.4, ece: 0.02 });
        let fitted =
            Calibration { temperature: 1.5, fitted_on: FittedOn::Test, images: 32, before, after };
        let card = Card {
            config: &config,
            about: &about,
            data: "trees",
            chosen: true,
            skipped: &["x.png: is empty".into()],
            held: None,
            confusion: &confusion,
            calibration: Ok(&fitted),
            quality: (before, Some(after)),
            device: "d",
            step: 7,
            best: 0.95,
        };
        let text = card.markdown().unwrap();
        for part in [
            "trees (synthetic): 3 classes, 245 training images, 32 test images",
            "200 (a\\|b) to 5 (elm), ratio 40.0",
            "| a\\|b | 200 | 20 | 100.0 % | 87.0 % |\n| oak | 40 | 12 | 75.0 % | 100.0 % |\n| elm | 5 | 0 | – | – |",
            "| many (> 100) | 1 | 200 | 100.0 % |",
            "| few (< 20) | 1 | 5 | – |",
            "| all test images | 3 | 245 | 90.6 % |",
            "temperature 1.500, fitted on 32 test images",
            "temperature 1: NLL 0.5000, ECE 10.0 %",
            "temperature 1.5000: NLL 0.4000, ECE 2.0 %",
            "fitted and measured on the same images",
            "left out, 1: x.png: is empty",
            "not tested, as there is no test image: elm",
            "oak taken for a\\|b: 3 of 12 test images",
            "one in five of each class, chosen by seed 0",
            "not the default: holdout = 0.25, nesterov = true\n",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        let none = Card { calibration: Err("too few"), quality: (before, None), ..card };
        let text = none.markdown().unwrap();
        assert!(text.contains("not calibrated: too few") && !text.contains("temperature 1.5"));
    }
}
