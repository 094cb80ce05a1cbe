//! What each epoch and step is fed: the order of the images by the recipe's sampler, the images that others
//! are mixed with, and each step's share and shift. All of it depends on (seed, epoch, step) alone.

use super::config::{Config, MixKind};
use super::device_set::DeviceSet;
use super::mixing::Mixing;
use super::parts;
use crate::data::Dataset;
use crate::data::sampler::{Pool, Rule, epoch_order};
use crate::error::Result;
use crate::gpu::StepUniform;

/// The training images and the rules by which they are drawn.
pub(crate) struct Feed<'a> {
    config: &'a Config,
    pool: Pool,
    mixing: Mixing,
    images: usize,
}

impl<'a> Feed<'a> {
    /// The feed of `config` from `train`.
    ///
    /// # Errors
    /// A mixing without a distribution.
    pub fn new(config: &'a Config, train: &Dataset) -> Result<Self> {
        Ok(Feed {
            config,
            pool: Pool::new(&train.labels, train.classes.len()),
            mixing: Mixing::new(&config.input, config.train.seed, config.train.epochs)?,
            images: train.labels.len(),
        })
    }

    /// Images in an epoch.
    pub fn len(&self, epoch: usize) -> usize {
        self.pool.epoch_len(parts::sampler(self.config, epoch))
    }

    /// Images in the longest epoch.
    pub fn longest(&self) -> usize {
        (0..self.config.train.epochs).map(|e| self.len(e)).max().unwrap_or(self.images)
    }

    /// Images in a batch of an epoch (its last may be smaller).
    pub fn batch(&self, epoch: usize) -> usize {
        self.config.train.batch_size.min(self.len(epoch)).max(1)
    }

    /// Steps in an epoch.
    pub fn steps(&self, epoch: usize) -> usize {
        let (n, batch) = (self.len(epoch), self.batch(epoch));
        if self.config.train.drop_last { n / batch } else { n.div_ceil(batch) }
    }

    /// The images of an epoch in order.
    pub fn order(&self, epoch: usize) -> Vec<u32> {
        let (config, seed) = (self.config, self.config.train.seed);
        match parts::sampler(config, epoch) {
            Rule::Instance => epoch_order(self.images, seed, epoch as u64, config.input.shuffle),
            rule => {
                let progress = epoch as f64 / (config.train.epochs - 1).max(1) as f64;
                self.pool.epoch(rule, seed, epoch as u64, progress)
            }
        }
    }

    /// Gives `set` an epoch's order, which is returned, and with CMO that of the pasted images.
    pub fn begin(&self, epoch: usize, set: &DeviceSet) -> Vec<u32> {
        let order = self.order(epoch);
        set.set_order(&order);
        if self.config.input.mix == MixKind::Cmo {
            // An image is drawn by 1/n of its class: every class as often.
            let (rule, seed) = (Rule::Power(0.0), !self.config.train.seed);
            set.set_others(&self.pool.epoch(rule, seed, epoch as u64, 0.0));
        }
        order
    }

    /// What the kernels are told of step `step` of `epoch`, whose batch of `n` begins at position `first`.
    pub fn uniform(
        &self,
        lr: f64,
        epoch: usize,
        step: u32,
        (first, n): (usize, usize),
    ) -> StepUniform {
        let seed = self.config.train.seed;
        let (lambda, shift) = self.mixing.draw(epoch, step, n);
        StepUniform {
            learning_rate: lr as f32,
            step,
            epoch: epoch as u32,
            first: first as u32,
            seed: [seed as u32, (seed >> 32) as u32],
            lambda,
            shift,
        }
    }
}
