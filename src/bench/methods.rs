//! What each method's training step costs beside cross-entropy's: by the cost model, and measured.
//!
//! A recipe → [`Session`] with its teacher, as `train` builds it, values from the seed → its planned step: launches,
//! FLOPs, bytes, and the least time that a device with these [`Limits`] needs for each launch, added up. Then
//! rounds in which steps of the recipe and of cross-entropy are run in turn, so that both meet the same
//! machine; the median of the rounds' ratios counts. What the processor does for an epoch (drawing the order, sending
//! it) is measured apart, per step.
//!
//! A step is explained where its ratio to cross-entropy's is the model's, or at most [`SLACK`] above.

use super::clock::{Basis, Start, Summary};
use super::limits::Limits;
use super::step::images;
use crate::data::{Dataset, longtail};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::Plan;
use crate::train::about::About;
use crate::train::config::{Augment, Config};
use crate::train::device_set::{DeviceSet, Room};
use crate::train::feed::Feed;
use crate::train::session::Session;
use crate::train::stages;
use crate::train::teacher::Teacher;
use evenkeel_kernels::Cost;
use serde::Serialize;
use std::rc::Rc;

/// By how much a measured ratio may exceed the modelled one.
pub const SLACK: f64 = 1.15;
/// How long a round's steps last at least, ms.
const ROUND: f64 = 40.0;

/// Which steps are compared.
#[derive(Clone, Debug)]
pub struct MethodsSpec {
    /// A model of [`crate::nn::MODELS`].
    pub model: String,
    /// Images in a batch.
    pub batch_size: usize,
    /// Rounds of each comparison.
    pub rounds: usize,
    /// The clock.
    pub basis: Basis,
}

/// A recipe's line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub recipe: String,
    /// Launches in a step.
    pub dispatches: usize,
    /// Of a step, by the cost model.
    pub flops: u64,
    /// Read and written in a step, by the cost model.
    pub bytes: u64,
    /// The least time of its launches over that of cross-entropy's.
    pub modelled: f64,
    /// Measured time over cross-entropy's, the median of the rounds.
    pub measured: f64,
    /// Measured, ms, the median of the rounds.
    pub step_ms: f64,
    /// Of the processor, to draw and send an epoch's order: µs a step.
    pub order_us: f64,
    /// Steps in all epochs of the recipe at its own batch size, without its first stage and its teacher.
    pub steps: usize,
}

impl Row {
    /// Measured over modelled.
    pub fn excess(&self) -> f64 {
        self.measured / self.modelled
    }

    /// Whether the extra launches explain the time.
    pub fn explained(&self) -> bool {
        self.excess() <= SLACK
    }
}

/// Made-up images as many as the benchmark has, on the device.
pub struct Stage {
    gpu: Rc<Gpu>,
    data: Dataset,
    counts: Vec<usize>,
    set: DeviceSet,
    spec: MethodsSpec,
}

/// A recipe's step, ready to run.
struct Job<'a> {
    session: Session,
    feed: Feed,
    config: &'a Config,
    batch: usize,
    step: u32,
}

impl Stage {
    /// Images of noise in `classes` classes, the largest of `largest`, the smallest of a hundredth.
    ///
    /// # Errors
    /// No memory.
    pub fn new(gpu: &Rc<Gpu>, spec: &MethodsSpec, classes: usize, largest: usize) -> Result<Self> {
        let counts = longtail::counts(largest, classes, 100.0, crate::data::Profile::Exp);
        let mut data = images(counts.iter().sum(), classes, 32);
        data.labels = (0u32..).zip(&counts).flat_map(|(c, n)| vec![c; *n]).collect();
        // Over-sampling has the longest epoch: every class as often as the largest.
        let set = DeviceSet::with_room(
            gpu,
            &data,
            Room { positions: largest * classes, ..Room::default() },
        )?;
        Ok(Stage { gpu: gpu.clone(), data, counts, set, spec: spec.clone() })
    }

    /// `config` with this stage's network, batch and images.
    fn fitted(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.model.model.clone_from(&self.spec.model);
        config.train.batch_size = self.spec.batch_size;
        config
    }

    fn about(&self, config: &Config) -> About {
        About::of(config, &self.data, &self.counts)
    }

    fn job<'a>(&self, config: &'a Config) -> Result<Job<'a>> {
        let mut session = Session::of(&self.gpu, config, &self.about(config))?;
        // The limit does not change what a step costs.
        session.sgd.row_limit = config.optim.max_norm.map(|_| 1.0);
        if let Some(teacher) = stages::teacher(config)? {
            session.teacher = Some(Teacher::fresh(&self.gpu, &self.about(&teacher), 1)?);
        }
        let feed = Feed::new(config, &self.data)?;
        Ok(Job { session, feed, config, batch: self.spec.batch_size, step: 0 })
    }

    /// Measures the recipes beside `ce`, one after the other; `tell` is given each row.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn measure(
        &self,
        ce: &Config,
        recipes: &[(String, Config)],
        limits: &Limits,
        mut tell: impl FnMut(&Row),
    ) -> Result<Vec<Row>> {
        let ce = self.fitted(ce);
        let mut base = self.job(&ce)?;
        let base_ms = least(base.plan(&self.set)?, limits);
        let mut rows = Vec::new();
        for (name, recipe) in recipes {
            let config = self.fitted(recipe);
            let mut job = self.job(&config)?;
            let plan = job.plan(&self.set)?;
            let (dispatches, cost) = (plan.stats().dispatches, plan.stats().cost);
            let modelled = least(plan, limits) / base_ms;
            let (measured, step_ms) = self.ratio(&mut base, &mut job)?;
            let row = Row {
                recipe: name.clone(),
                dispatches,
                flops: cost.flops,
                bytes: cost.read + cost.written,
                modelled,
                measured,
                step_ms,
                order_us: self.order_us(&job)?,
                steps: steps(&Feed::new(recipe, &self.data)?, recipe),
            };
            tell(&row);
            rows.push(row);
        }
        Ok(rows)
    }

    /// The median over the rounds of a step's time over the base's, and of the step's time.
    fn ratio(&self, base: &mut Job<'_>, job: &mut Job<'_>) -> Result<(f64, f64)> {
        let run = |job: &mut Job<'_>, steps: usize| -> Result<f64> {
            let start = Start::now();
            job.run(&self.gpu, &self.set, steps)?;
            Ok(start.least(self.spec.basis) / steps as f64)
        };
        run(base, 1)?;
        run(job, 1)?;
        let steps = ((ROUND / run(base, 1)?).ceil() as usize).clamp(1, 100);
        let (mut ratios, mut times) = (Vec::new(), Vec::new());
        for round in 0..self.spec.rounds {
            // Each goes first in turn.
            let (other, own) = if round.is_multiple_of(2) {
                let other = run(base, steps)?;
                (other, run(job, steps)?)
            } else {
                let own = run(job, steps)?;
                (run(base, steps)?, own)
            };
            ratios.push(own / other);
            times.push(own);
        }
        Ok((Summary::of(&ratios).median, Summary::of(&times).median))
    }

    /// Drawing and sending an epoch's order, per step: the median of three late epochs, in which what is
    /// deferred holds.
    fn order_us(&self, job: &Job<'_>) -> Result<f64> {
        let last = job.config.train.epochs - 1;
        let mut times = Vec::new();
        for epoch in last.saturating_sub(2)..=last {
            let start = Start::now();
            job.feed.begin(epoch, &self.set);
            times.push(start.least(Basis::Wall) * 1e3 / job.feed.steps(epoch).max(1) as f64);
        }
        self.gpu.wait()?;
        Ok(Summary::of(&times).median)
    }
}

impl Job<'_> {
    fn plan(&mut self, set: &DeviceSet) -> Result<&Plan> {
        let augment = self.config.input.augment != Augment::None;
        self.session.train_plan(set, self.batch, augment)
    }

    fn run(&mut self, gpu: &Gpu, set: &DeviceSet, steps: usize) -> Result<()> {
        let epoch = self.config.train.epochs / 2;
        for _ in 0..steps {
            let batches = self.feed.batches(1e-3, epoch, self.step, (0, self.batch));
            let augment = self.config.input.augment != Augment::None;
            self.session.step(set, &batches, augment)?;
            self.step += 1;
        }
        gpu.wait()
    }
}

/// Steps in all epochs.
fn steps(feed: &Feed, config: &Config) -> usize {
    (0..config.train.epochs).map(|epoch| feed.steps(epoch)).sum()
}

/// The least milliseconds that a plan's launches take, each after the one before.
fn least(plan: &Plan, limits: &Limits) -> f64 {
    let calls = plan.steps().iter().flat_map(|s| &s.calls);
    calls.map(|(_, cost): &(String, Cost)| limits.least(cost, 1).0).sum()
}
