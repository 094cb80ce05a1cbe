//! A network on the device with its plans: one for each batch size of training and of evaluation,
//! all in one workspace.

use super::about::About;
use super::config::{Config, MixKind};
use super::device_set::DeviceSet;
use super::teacher::Teacher;
use super::{parts, policy};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Effect, Plan, Work, Workspace};
use crate::loss::{Objective, ObjectiveSpec};
use crate::nn::{Builder, Mode, Params, ResNet, Scope, Spec};
use crate::ops::{self, Changes, Normalized, Policy};
use crate::optim::{Sgd, SgdOptions};
use crate::tensor::Tensor;
use evenkeel_kernels::softmax_ce::argmax_store;
use std::collections::HashMap;
use std::rc::Rc;

/// What a plan is for: a set, a batch size, and training with or without augmentation or evaluation.
type Key = (u64, usize, Use);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Use {
    Train { augment: bool },
    Classify,
}

/// A network, its optimizer and its plans.
pub struct Session {
    gpu: Rc<Gpu>,
    /// The network.
    pub model: ResNet,
    /// Its parameters and statistics.
    pub params: Params,
    /// The optimizer.
    pub sgd: Sgd,
    /// What is minimised.
    pub objective: Objective,
    /// How two images of a training batch become one.
    pub mix: MixKind,
    /// Side of a black square in training images; 0: none.
    pub cutout: usize,
    /// Image operations on training images.
    pub policy: Option<Policy>,
    /// The batch norms below the classifier in training.
    pub backbone: Mode,
    /// The network that it learns from.
    pub teacher: Option<Teacher>,
    workspace: Workspace,
    plans: HashMap<Key, Plan>,
    /// Do ReLU and residual sums in batch norm's pass.
    pub fuse: bool,
}

impl Session {
    /// Builds the network of `spec` with values from `seed`.
    ///
    /// # Errors
    /// A spec that names no network, or no memory.
    pub fn new(
        gpu: &Rc<Gpu>,
        spec: &Spec<'_>,
        loss: &ObjectiveSpec,
        optimizer: SgdOptions,
        seed: u64,
    ) -> Result<Self> {
        let mut builder = Builder::default();
        let model = ResNet::new(&mut builder, spec)?;
        let params = Params::new(gpu, builder, seed)?;
        let sgd = Sgd::new(gpu, &params, optimizer)?;
        Ok(Session {
            objective: Objective::new(gpu, loss)?,
            mix: MixKind::None,
            cutout: 0,
            policy: None,
            backbone: Mode::Train,
            teacher: None,
            workspace: Workspace::new(gpu),
            gpu: gpu.clone(),
            model,
            params,
            sgd,
            plans: HashMap::new(),
            fuse: true,
        })
    }

    /// The network of `about` as the recipe trains it, without its teacher.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn of(gpu: &Rc<Gpu>, config: &Config, about: &About) -> Result<Self> {
        let (loss, sgd) = (parts::objective(config, &about.counts), parts::optimizer(config));
        let spec = about.spec(config.model.nbn_bias_start)?;
        let mut session = Session::new(gpu, &spec, &loss, sgd, config.train.seed)?;
        session.mix = config.input.mix;
        session.cutout = config.input.cutout;
        let [_, h, w] = about.shape;
        session.policy = policy::policy(gpu, &config.input, [h, w])?;
        session.backbone = parts::backbone(config);
        Ok(session)
    }

    /// The plan of a training step on `n` images of `set`, whose predictions it notes. Made at first
    /// use.
    ///
    /// # Errors
    /// What tracing or planning reports.
    pub fn train_plan(&mut self, set: &DeviceSet, n: usize, augment: bool) -> Result<&Plan> {
        let key = (set.key(), n, Use::Train { augment });
        if !self.plans.contains_key(&key) {
            let mut scope = Scope::new(&self.params, Mode::Train);
            scope.fuse = self.fuse;
            scope.backbone = self.backbone;
            let [x, labels] = self.images(set, n, augment, 0)?;
            let cut = self.mix != MixKind::Mixup;
            let mixed = match self.mix {
                MixKind::None => None,
                MixKind::Mixup | MixKind::CutMix => Some(ops::mix(&x, &x, &labels, cut)?),
                MixKind::Cmo => {
                    let [others, other_labels] = self.images(set, n, augment, 1)?;
                    Some(ops::mix(&x, &others, &other_labels, cut)?)
                }
            };
            let images = mixed.as_ref().map_or(&x, |m| &m.x);
            let pass = self.model.pass(&scope, images)?;
            let each = &pass.logits;
            let mut loss = match &mixed {
                None => self.objective.of_all(each, &labels)?,
                Some(m) => self.objective.of_mixed(each, [&labels, &m.labels], &m.share)?,
            };
            if let Some(teacher) = &self.teacher {
                loss = self.objective.taught(loss, &labels, &pass, &teacher.pass(images)?)?;
            }
            let mut work = Work::new();
            self.sgd.step(&mut work, &scope, &loss)?;
            work.effect(predict(&self.gpu, &pass.output, set.predictions()));
            self.plan(key, work)?;
        }
        self.plans.get(&key).ok_or_else(lost_plan)
    }

    /// A batch of training images, or with `draw` = 1 of those that they are mixed with.
    fn images(&self, set: &DeviceSet, n: usize, augment: bool, draw: usize) -> Result<[Tensor; 2]> {
        // The square comes last: after the policy where there is one.
        let cutout = if self.policy.is_some() { 0 } else { self.cutout };
        let changes = Changes { crop_flip: augment, cutout, draw };
        let (x, labels) = set.batch_of(n, changes)?;
        let Some(policy) = &self.policy else { return Ok([x, labels]) };
        let [mean, std] = set.normalization();
        let images = Normalized { mean, std, cutout: self.cutout, draw };
        Ok([ops::augment(&x, policy, &images)?, labels])
    }

    /// The plan that classifies `n` images of `set` with the running statistics.
    fn eval_plan(&mut self, set: &DeviceSet, n: usize) -> Result<&Plan> {
        let key = (set.key(), n, Use::Classify);
        if !self.plans.contains_key(&key) {
            let scope = Scope::new(&self.params, Mode::Eval);
            let (x, _) = set.batch(n)?;
            let logits = self.model.forward(&scope, &x)?;
            let mut work = Work::new();
            work.effect(predict(&self.gpu, &logits, set.predictions()));
            self.plan(key, work)?;
        }
        self.plans.get(&key).ok_or_else(lost_plan)
    }

    fn plan(&mut self, key: Key, work: Work) -> Result<()> {
        self.workspace.batch = key.1;
        let plan = Plan::build(&mut self.workspace, work)?;
        self.plans.insert(key, plan);
        Ok(())
    }

    /// The predicted class of each image of `set`, in its order.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn classify(&mut self, set: &DeviceSet, batch_size: usize) -> Result<Vec<u32>> {
        let gpu = self.gpu.clone();
        for first in (0..set.len()).step_by(batch_size) {
            let n = batch_size.min(set.len() - first);
            let plan = self.eval_plan(set, n)?;
            plan.run(&StepUniform { first: first as u32, ..Default::default() })?;
            gpu.throttle()?;
        }
        set.read_predictions(set.len())
    }

    /// The logits of each image of `set`, in its order: rows of as many numbers as classes.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn logits(&mut self, set: &DeviceSet, batch_size: usize) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        let forward =
            |model: &ResNet, scope: &Scope<'_>, x: &Tensor| model.forward(scope, x).map(|z| [z]);
        self.each_batch(set, set.len(), batch_size, forward, |_, plan, [logits]| {
            all.extend(plan.read::<f32>(logits)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Gives `take` the feature maps and logits of the first `count` images of `set`'s order, batch by
    /// batch: position of the batch's first image, maps [n, C, h, w], logits [n, classes], [h, w].
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn maps(
        &mut self,
        set: &DeviceSet,
        count: usize,
        batch_size: usize,
        mut take: impl FnMut(usize, &[f32], &[f32], [usize; 2]),
    ) -> Result<()> {
        self.each_batch(set, count, batch_size, ResNet::maps_and_logits, |first, plan, values| {
            let [maps, logits] = values;
            let [_, _, h, w] = *maps.dims() else { return Err(lost_plan()) };
            take(first, &plan.read(maps)?, &plan.read(logits)?, [h, w]);
            Ok(())
        })
    }

    /// Evaluates what `forward` makes of the first `count` images of `set`'s order, batch by batch, and gives
    /// `take` the position of each batch's first image with the plan that holds the values. Batches of one
    /// size share a plan.
    fn each_batch<const K: usize>(
        &mut self,
        set: &DeviceSet,
        count: usize,
        batch_size: usize,
        forward: impl Fn(&ResNet, &Scope<'_>, &Tensor) -> Result<[Tensor; K]>,
        mut take: impl FnMut(usize, &Plan, &[Tensor; K]) -> Result<()>,
    ) -> Result<()> {
        let mut made: Option<(usize, Plan, [Tensor; K])> = None;
        for first in (0..count).step_by(batch_size.max(1)) {
            let n = batch_size.min(count - first);
            if made.as_ref().is_none_or(|(size, ..)| *size != n) {
                let scope = Scope::new(&self.params, Mode::Eval);
                let (x, _) = set.batch(n)?;
                let values = forward(&self.model, &scope, &x)?;
                let mut work = Work::new();
                for value in &values {
                    work.keep(value);
                }
                made = Some((n, Plan::build(&mut self.workspace, work)?, values));
            }
            if let Some((_, plan, values)) = &made {
                plan.run(&StepUniform { first: first as u32, ..Default::default() })?;
                take(first, plan, values)?;
            }
        }
        Ok(())
    }

    /// Bytes of the plans' shared buffers.
    pub fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }
}

fn lost_plan() -> Error {
    Error::Failure("a plan vanished".into())
}

/// predictions[position of row i] = argmax of row i
fn predict(gpu: &Gpu, logits: &Tensor, predictions: &Tensor) -> Effect {
    let d = logits.dims();
    Effect {
        name: "argmax",
        program: argmax_store(d[0] as u32, d[1] as u32, &gpu.caps),
        args: vec![logits.clone(), predictions.clone()],
    }
}
