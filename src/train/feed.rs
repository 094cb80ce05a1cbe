//! What each epoch and step is fed: the order of the images by the recipe's sampler, the images that others
//! are mixed with or drawn towards, and each step's share and shift. All of it depends on (seed, epoch, step)
//! alone.

use super::config::{Augment, Config, MixKind, Sampler};
use super::device_set::{DeviceSet, Room};
use super::mixing::Mixing;
use super::parts;
use crate::data::neighbours::Points;
use crate::data::sampler::{Pool, Rule, epoch_order};
use crate::data::smote::Smote;
use crate::data::{Dataset, one_sided};
use crate::dist::part;
use crate::error::{Error, Result};
use crate::gpu::StepUniform;

/// The training images and the rules by which they are drawn.
pub(crate) struct Feed {
    config: Config,
    pool: Pool,
    mixing: Mixing,
    images: usize,
    ranks: usize,
    /// What one-sided selection keeps.
    kept: Vec<u32>,
    /// Images with the neighbours that they are drawn towards.
    pub smote: Option<Smote>,
}

impl Feed {
    /// The feed of `config` from `train`.
    ///
    /// # Errors
    /// A mixing without a distribution, or an epoch without a whole step where only those are taken.
    pub fn new(config: &Config, train: &Dataset) -> Result<Self> {
        let (classes, seed) = (train.classes.len(), config.train.seed);
        let kept = if config.input.sampler == Sampler::OneSided {
            if train.files.is_some() {
                return Err(Error::usage(format!(
                    "sampler one-sided compares the pixels of all images, but {} is streamed: give --stream never",
                    train.name
                )));
            }
            let (values, dims) = one_sided::cells(train);
            one_sided::select(&Points::new(&values, dims), &train.labels, classes, seed)
        } else {
            Vec::new()
        };
        let feed = Feed {
            config: config.clone(),
            pool: Pool::new(&train.labels, classes),
            mixing: Mixing::new(&config.input, seed, config.train.epochs)?,
            images: train.labels.len(),
            ranks: 1,
            kept,
            smote: None,
        };
        let short = (0..config.train.epochs).find(|e| feed.steps(*e) == 0);
        if let Some(images) = short.map(|e| feed.images_of(e)) {
            let train = &config.train;
            return Err(Error::usage(format!(
                "drop_last leaves no step: an epoch has {images} images, a step takes {} (batch_size {} \
                 times accumulate {})",
                train.batch_size * train.accumulate,
                train.batch_size,
                train.accumulate
            )));
        }
        Ok(feed)
    }

    /// The feed of `ranks` processes, whose batches together are one.
    pub fn of_ranks(self, ranks: usize) -> Self {
        Feed { ranks, ..self }
    }

    /// Positions in an epoch: images, or their views.
    pub fn len(&self, epoch: usize) -> usize {
        self.images_of(epoch) * parts::views(&self.config)
    }

    /// Images in an epoch.
    fn images_of(&self, epoch: usize) -> usize {
        match parts::sampler(&self.config, epoch) {
            Rule::OneSided => self.kept.len(),
            rule => self.pool.epoch_len(rule),
        }
    }

    /// What the sampler has to say at the start.
    pub fn told(&self) -> Option<String> {
        let kept = self.kept.len();
        (kept > 0).then(|| format!("one-sided selection keeps {kept} of {} images", self.images))
    }

    /// Positions in the longest epoch.
    fn longest(&self) -> usize {
        (0..self.config.train.epochs).map(|e| self.len(e)).max().unwrap_or(self.images)
    }

    /// What the training set must have room for.
    pub fn room(&self) -> Room {
        let input = &self.config.input;
        Room {
            positions: self.longest(),
            batch: (0..self.config.train.epochs)
                .map(|e| self.batch(e))
                .fold(self.config.train.batch_size, usize::max),
            others: input.mix == MixKind::Cmo || input.sampler == Sampler::Smote,
        }
    }

    /// Positions in a batch of all ranks in an epoch (its last may be smaller).
    pub fn batch(&self, epoch: usize) -> usize {
        let images = (self.config.train.batch_size * self.ranks).min(self.images_of(epoch)).max(1);
        images * parts::views(&self.config)
    }

    /// Positions in a step of an epoch (its last may be smaller): those of one batch or several.
    pub fn step_len(&self, epoch: usize) -> usize {
        self.batch(epoch) * self.config.train.accumulate
    }

    /// Steps in an epoch.
    pub fn steps(&self, epoch: usize) -> usize {
        self.end(epoch).div_ceil(self.step_len(epoch))
    }

    /// Positions of an epoch that steps are made of.
    pub fn end(&self, epoch: usize) -> usize {
        let (n, step) = (self.len(epoch), self.step_len(epoch));
        if self.config.train.drop_last { n / step * step } else { n }
    }

    /// The images of an epoch in order, and where they are not the same, the images that they are drawn
    /// towards.
    fn order(&self, epoch: usize) -> (Vec<u32>, Option<Vec<u32>>) {
        let (config, seed) = (&self.config, self.config.train.seed);
        let shuffled = |n| epoch_order(n, seed, epoch as u64, config.input.shuffle);
        let order = match (parts::sampler(config, epoch), &self.smote) {
            (Rule::Instance, _) => shuffled(self.images),
            (Rule::OneSided, _) => {
                shuffled(self.kept.len()).into_iter().map(|i| self.kept[i as usize]).collect()
            }
            (Rule::Smote, Some(smote)) => {
                let (order, others) = smote.epoch(seed, epoch as u64);
                return (order, Some(others));
            }
            (rule, _) => {
                let progress = epoch as f64 / (config.train.epochs - 1).max(1) as f64;
                self.pool.epoch(rule, seed, epoch as u64, progress)
            }
        };
        (order, None)
    }

    /// Gives `set` an epoch's order, which is returned, and with CMO that of the pasted images.
    pub fn begin(&self, epoch: usize, set: &DeviceSet) -> Vec<u32> {
        let (mut order, others) = self.order(epoch);
        let views = parts::views(&self.config);
        if views > 1 {
            order = in_views(&order, self.batch(epoch) / views, self.ranks, views);
        }
        set.set_order(&order);
        if self.smote.is_some() {
            set.set_others(others.as_ref().unwrap_or(&order));
        }
        if self.config.input.mix == MixKind::Cmo {
            // An image is drawn by 1/n of its class: every class as often.
            let (rule, seed) = (Rule::Power(0.0), !self.config.train.seed);
            set.set_others(&self.pool.epoch(rule, seed, epoch as u64, 0.0));
        }
        if self.config.input.augment == Augment::ResizedCrop {
            set.crop(self.config.train.seed, epoch as u64);
        }
        order
    }

    /// The batches of step `step` of `epoch`, which takes `n` positions from `first` on: each one's size, and
    /// what the kernels are told of it.
    pub fn batches(
        &self,
        lr: f64,
        epoch: usize,
        step: u32,
        (first, n): (usize, usize),
    ) -> Vec<(usize, StepUniform)> {
        let (seed, size) = (self.config.train.seed, self.batch(epoch));
        let uniform = |(batch, at): (u32, usize)| {
            let own = size.min(n - at);
            let draw = step * self.config.train.accumulate as u32 + batch;
            let (lambda, shift) = self.mixing.draw(epoch, draw, own);
            let uniform = StepUniform {
                learning_rate: lr as f32,
                step,
                epoch: epoch as u32,
                first: (first + at) as u32,
                seed: [seed as u32, (seed >> 32) as u32],
                lambda,
                shift,
                weight: (own as f64 / n as f64) as f32,
                batch,
            };
            (own, uniform)
        };
        (0..).zip((0..n).step_by(size)).map(uniform).collect()
    }
}

/// Each rank's images of each batch once a view, one view behind the other.
fn in_views(order: &[u32], batch: usize, ranks: usize, views: usize) -> Vec<u32> {
    let of_ranks = |images: &[u32]| -> Vec<u32> {
        let parts = (0..ranks).map(|rank| part(images.len(), rank, ranks));
        parts.flat_map(|own| images[own].repeat(views)).collect()
    };
    order.chunks(batch.max(1)).flat_map(of_ranks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_its_images_once_a_view() {
        let order = [7, 3, 9, 1, 5];
        assert_eq!(in_views(&order, 2, 1, 3), [7, 3, 7, 3, 7, 3, 9, 1, 9, 1, 9, 1, 5, 5, 5]);
        // Two ranks: 7 | 3 9 and 1 | 5
        assert_eq!(in_views(&order, 3, 2, 2), [7, 7, 3, 9, 3, 9, 1, 1, 5, 5]);
    }
}
