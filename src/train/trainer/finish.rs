//! What the end of a run does: the recipe's change to the classifier, feature strengths, a temperature in
//! its checkpoints, so that `predict` gives calibrated probabilities, and the model card.
//!
//! Logits of the held-out images (else of the test images) → temperature → `last.safetensors`; the same
//! with the parameters of the best epoch → `best.safetensors`; test results → `model-card.md`. All of it
//! follows from the checkpoints and the data, so a run broken off here and resumed writes the same.

use super::super::calibration::{Calibration, FittedOn, Logits, META};
use super::super::card::Card;
use super::super::config::Post;
use super::super::{adabn, features, post};
use super::*;
use crate::train::atomic::write_atomic;

/// A temperature, or why there is none.
pub(super) type Fitted = std::result::Result<Calibration, String>;

impl Trainer<'_> {
    pub(super) fn done(mut self, seconds: f64, stopped: bool) -> Result<Outcome> {
        let mut fitted = None;
        if self.at.epoch == self.config.train.epochs && self.group.leads() {
            self.measure_features()?;
            fitted = Some(self.finish()?);
        }
        let calibration = fitted.as_ref().and_then(|f| f.as_ref().ok());
        let (_, peak) = self.gpu.memory();
        let out = self.run.path().to_path_buf();
        self.emit(&json!({
            "event": "done", "out": &out, "step": self.at.step, "seconds": seconds,
            "gpu_bytes_peak": peak, "test": &self.summary, "stopped_by_max_steps": stopped,
            "calibration": calibration,
        }));
        if !self.options.json && self.group.leads() {
            if let Some(s) = &self.summary {
                say(format_args!("\n{}", s.table(&self.about.classes, &self.about.counts)));
            } else {
                say(format_args!(
                    "stopped after {} steps (--max-steps), before an evaluation; run `evenkeel eval {}`",
                    self.at.step,
                    self.run.last().display()
                ));
            }
            match &fitted {
                Some(Ok(calibration)) => say(format_args!("{}", calibration.line())),
                Some(Err(why)) => say(format_args!("probabilities are not calibrated: {why}")),
                None => {}
            }
            say(format_args!(
                "{} steps in {seconds:.1} s, peak GPU memory {}; run folder: {}",
                self.at.step,
                mib(peak),
                out.display()
            ));
        }
        let names = self.about.classes.into_iter();
        Ok(Outcome { out, summary: self.summary, classes: names.zip(self.about.counts).collect() })
    }

    /// What the recipe does to the classifier or the statistics after training.
    pub(super) fn edit(&mut self) -> Result<()> {
        let set = (&self.train, self.splits.train.labels.as_slice());
        let (batch, classes) = (self.config.train.batch_size, self.splits.counts.len());
        if self.config.model.post == Post::AdaBn {
            let seed = self.config.train.seed;
            return adabn::reestimate(&mut self.session, set, classes, batch, seed);
        }
        post::edit(&mut self.session, &self.config.model, &self.splits.counts, set, batch)
    }

    /// How strong frequent and rare classes' features are, for the report.
    pub(super) fn measure_features(&mut self) -> Result<()> {
        let (set, batch) = ((&self.splits.test, &self.test), self.config.train.batch_size);
        let counts = &self.about.counts;
        features::measure(&mut self.session, set, counts, (batch, self.at.step), &[])?
            .save(self.run.path())
    }

    /// Calibrates both checkpoints and writes the card.
    pub(super) fn finish(&mut self) -> Result<Fitted> {
        let (batch, classes) = (self.config.train.batch_size, self.about.classes.len());
        let values = self.session.logits(&self.test, batch)?;
        let test = Logits::new(&values, &self.splits.test.labels, classes)?;
        let held = match &self.splits.val {
            Some(val) => Some((DeviceSet::for_batches(&self.gpu, val, batch)?, &val.labels)),
            None => None,
        };
        let from = match (&held, self.config.data.holdout > 0.0) {
            (None, _) => FittedOn::Test,
            (Some(_), true) => FittedOn::HeldOut,
            (Some(_), false) => FittedOn::Validation,
        };
        let (set, labels) = match &held {
            Some((set, labels)) => (set, *labels),
            None => (&self.test, &self.splits.test.labels),
        };
        let fitted = match &held {
            None => Calibration::fit(&test, from)?,
            Some(_) => fit(&mut self.session, (set, labels), from, batch, classes)?,
        };
        let mut confusion = Confusion::new(classes);
        for (truth, predicted) in self.splits.test.labels.iter().zip(test.predicted()) {
            confusion.add(*truth as usize, predicted)?;
        }
        let after = fitted.as_ref().ok().map(|c| test.quality(c.temperature)).transpose()?;
        let card = Card {
            config: self.config,
            about: &self.about,
            data: &self.splits.train.name,
            chosen: self.splits.chosen,
            skipped: &self.splits.skipped,
            held: self.splits.val.as_ref().map(|v| v.class_counts()),
            confusion: &confusion,
            calibration: fitted.as_ref().map_err(|why| why.as_str()),
            quality: (test.quality(1.0)?, after),
            device: &self.gpu.describe(),
            step: self.at.step,
            best: self.at.best,
        };
        let text = card.markdown()?;
        keep(&self.run.last(), &fitted)?;
        let best = self.run.best();
        if best.exists() {
            match Checkpoint::load_own(&best) {
                Ok(file) if step_of(&file) == Some(self.at.step) => keep(&best, &fitted)?,
                Ok(file) => {
                    self.session.params.import(&floats(&file)).map_err(|e| at_file(&best, e))?;
                    keep(&best, &fit(&mut self.session, (set, labels), from, batch, classes)?)?;
                }
                Err(e) => self.progress.warn(&format!("{e}; it was not calibrated")),
            }
        }
        write_atomic(&Card::path(self.run.path()), text.as_bytes())?;
        Ok(fitted)
    }
}

fn fit(
    session: &mut Session,
    (set, labels): (&DeviceSet, &[u32]),
    from: FittedOn,
    batch: usize,
    classes: usize,
) -> Result<Fitted> {
    let values = session.logits(set, batch)?;
    Calibration::fit(&Logits::new(&values, labels, classes)?, from)
}

fn step_of(file: &Checkpoint) -> Option<u32> {
    let position: Position = serde_json::from_str(file.meta.get("position")?).ok()?;
    Some(position.step)
}

/// Writes a checkpoint anew with the temperature; without one, it says that there is none.
fn keep(path: &Path, fitted: &Fitted) -> Result<()> {
    let mut file = Checkpoint::load_own(path)?;
    match fitted {
        Ok(calibration) => file.meta.insert(META.into(), text(calibration)?),
        Err(_) => file.meta.remove(META),
    };
    file.save(path)
}
