//! A run in memory: a step when asked, losses and accuracies when awaited; no folder, clock or display. For
//! places that have none and may not wait, as a page in a browser (browser/).
//!
//! Recipe and data → a [`Session`] and both sets on the device → [`Live::step`], as often as wanted →
//! [`Live::losses`], [`Live::evaluate`]. Its steps are those of [`super::trainer`], to the bit.

use super::about::About;
use super::config::{Augment, Config, Post, Sampler};
use super::device_set::DeviceSet;
use super::feed::Feed;
use super::metrics::{Confusion, Summary};
use super::session::Session;
use super::{schedule, trace};
use crate::data::Splits;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::optim::Sgd;
use std::rc::Rc;

/// A network in training.
pub struct Live {
    gpu: Rc<Gpu>,
    config: Config,
    splits: Rc<Splits>,
    session: Session,
    train: DeviceSet,
    test: DeviceSet,
    feed: Feed,
    /// The epoch under way and how many of its images were seen.
    at: (usize, usize),
    step: u32,
    images: u64,
    looked: u32,
}

impl Live {
    /// Prepares the run of `config`; its `[data]` is `splits` already.
    ///
    /// # Errors
    /// A recipe that starts from files, has two stages or edits the classifier afterwards: those need
    /// `evenkeel train`. A wrong recipe, or no memory.
    pub fn new(gpu: &Rc<Gpu>, config: &Config, splits: &Rc<Splits>) -> Result<Self> {
        config.validate()?;
        let train = &config.train;
        for (asked, what) in [
            (train.init.is_some(), "starts from a checkpoint (init)"),
            (train.after.is_some(), "has two stages (after)"),
            (config.optim.max_norm.is_some(), "caps the classifier's rows (max_norm)"),
            (config.teacher.teacher.is_some(), "has a teacher"),
            (config.teacher.teacher_from.is_some(), "has a teacher"),
            (config.input.sampler == Sampler::Smote, "draws between features (smote)"),
            (config.model.post != Post::None, "edits the classifier afterwards (post)"),
        ] {
            if asked {
                return Err(Error::usage(format!("a recipe that {what} needs `evenkeel train`")));
            }
        }
        let feed = Feed::new(config, &splits.train)?;
        Ok(Live {
            session: Session::of(gpu, config, &About::new(config, splits))?,
            train: DeviceSet::with_room(gpu, &splits.train, feed.room())?,
            test: DeviceSet::for_batches(gpu, &splits.test, train.batch_size)?,
            gpu: gpu.clone(),
            config: config.clone(),
            splits: splits.clone(),
            feed,
            at: (0, 0),
            step: 0,
            images: 0,
            looked: 0,
        })
    }

    /// Takes one step without waiting for it; false at the run's end, where there is none to take.
    ///
    /// # Errors
    /// What planning or the driver reports.
    pub fn step(&mut self) -> Result<bool> {
        if self.finished() {
            return Ok(false);
        }
        let (config, (epoch, seen)) = (&self.config, self.at);
        if seen == 0 {
            self.feed.begin(epoch, &self.train);
            self.session.begin_epoch(config, epoch);
        }
        let n = self.feed.step_len(epoch).min(self.feed.end(epoch) - seen);
        let lr = schedule::lr(&config.schedule, config.optim.lr, epoch, config.train.epochs);
        let batches = self.feed.batches(lr, epoch, self.step, (seen, n));
        let augment = config.input.augment != Augment::None;
        self.session.step(&self.train, &batches, augment)?;
        self.step += 1;
        self.images += n as u64;
        self.at = if seen + n == self.feed.end(epoch) { (epoch + 1, 0) } else { (epoch, seen + n) };
        Ok(true)
    }

    /// Whether all steps were taken.
    pub fn finished(&self) -> bool {
        let train = &self.config.train;
        self.at.0 >= train.epochs || train.max_steps.is_some_and(|m| self.step as usize >= m)
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// Images in the batches of those steps.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Steps of an epoch.
    pub fn steps_in(&self, epoch: usize) -> usize {
        self.feed.steps(epoch)
    }

    /// Epochs done.
    pub fn epoch(&self) -> usize {
        self.at.0
    }

    /// The losses of the steps since the last call, oldest first; of more than [`Sgd::RING`], the last.
    ///
    /// # Errors
    /// A loss or gradient that was not finite: the network is as it was before that step, and stays so. A lost
    /// device.
    pub async fn losses(&mut self) -> Result<Vec<f32>> {
        let sgd = &self.session.sgd;
        if let Some(alarm) = sgd.alarm_async(&self.gpu, &self.session.params).await? {
            let found = trace::found(&alarm);
            return Err(Error::NonFinite(format!("{found}; a lower lr or a warm-up helps")));
        }
        let from = self.looked.max(self.step.saturating_sub(Sgd::RING as u32));
        let losses = sgd.losses_async(&self.gpu, from, self.step).await?;
        self.looked = self.step;
        Ok(losses)
    }

    /// Classifies the test images.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub async fn evaluate(&mut self) -> Result<Summary> {
        self.session.note_classes(&self.test, self.config.train.batch_size)?;
        let predicted = self.test.predictions_async(self.test.len()).await?;
        let mut confusion = Confusion::new(self.splits.counts.len());
        for (predicted, truth) in predicted.iter().zip(&self.splits.test.labels) {
            confusion.add(*truth as usize, *predicted as usize)?;
        }
        confusion.summary(&self.splits.counts)
    }
}
