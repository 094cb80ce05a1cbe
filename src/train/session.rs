//! A network on the device with its plans: one for each batch size of training and of evaluation,
//! all in one workspace.

mod evaluate;

use super::about::About;
use super::config::{Activations, Augment, Config, MixKind, Sampler};
use super::device_set::DeviceSet;
use super::momentum::MomentumEncoder;
use super::teacher::Teacher;
use super::{parts, policy};
use crate::dist::Group;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Effect, Plan, Work, Workspace};
use crate::loss::contrast::{Contrast, VIEWS};
use crate::loss::{Objective, ObjectiveSpec};
use crate::nn::{Builder, Mode, Params, ResNet, Scope, Spec};
use crate::ops::{self, Changes, Normalized, Policy};
use crate::optim::{Sgd, SgdOptions};
use crate::tensor::Tensor;
use evenkeel_kernels::softmax_ce::argmax_store;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// What a plan is for: a set, a batch size, and training with or without augmentation or evaluation.
type Key = (u64, usize, Use);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Use {
    Train { augment: bool, update: bool },
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
    /// A sample's features are drawn towards those of another image (SMOTE).
    pub between: bool,
    /// The contrastive branch: then a batch holds the views of its images, one view behind the other.
    pub contrast: Option<Contrast>,
    /// PaCo's second network: then a batch holds two views of its images.
    pub encoder: Option<MomentumEncoder>,
    /// Black border around training images before they are cropped at random, in pixels.
    pub pad: usize,
    /// Side of a black square in training images; 0: none.
    pub cutout: usize,
    /// Image operations on training images.
    pub policy: Option<Policy>,
    /// The batch norms below the classifier in training.
    pub backbone: Mode,
    /// Keep of each block its output alone, and compute the rest again for the gradient.
    pub recompute: bool,
    /// The network that it learns from.
    pub teacher: Option<Teacher>,
    /// As what activations wait for the backward pass.
    pub activations: Activations,
    /// Batch norms take the statistics of all ranks' batches together.
    pub synced: bool,
    /// This rank's share of a batch's loss, where there are several.
    share: Option<Tensor>,
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
        Self::in_parts(gpu, spec, loss, (optimizer, seed), gpu.caps.max_binding)
    }

    /// [`Session::new`] with parameters in parts of at most `limit` bytes, as on a device that binds no more.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn in_parts(
        gpu: &Rc<Gpu>,
        spec: &Spec<'_>,
        loss: &ObjectiveSpec,
        (optimizer, seed): (SgdOptions, u64),
        limit: u64,
    ) -> Result<Self> {
        let mut builder = Builder::default();
        let model = ResNet::new(&mut builder, spec)?;
        let mut params = Params::in_parts(gpu, builder, seed, limit)?;
        if optimizer.accumulate {
            params.sum_batches()?;
        }
        if optimizer.ema.is_some() {
            params.keep_averages()?;
        }
        let sgd = Sgd::new(gpu, &params, optimizer)?;
        Ok(Session {
            objective: Objective::new(gpu, loss)?,
            mix: MixKind::None,
            between: false,
            contrast: None,
            encoder: None,
            pad: 4,
            cutout: 0,
            policy: None,
            backbone: Mode::Train,
            recompute: false,
            teacher: None,
            activations: Activations::F32,
            synced: false,
            share: None,
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
        session.contrast = parts::contrast(config);
        if let Some(cfg) = parts::momentum(config) {
            session.encoder = Some(MomentumEncoder::new(gpu, &spec, &cfg, config.train.seed)?);
        }
        session.between = config.input.sampler == Sampler::Smote;
        if config.input.augment == Augment::ResizedCrop {
            session.pad = 0;
        }
        session.cutout = config.input.cutout;
        let [_, h, w] = about.shape;
        session.policy = policy::policy(gpu, &config.input, [h, w])?;
        session.backbone = parts::backbone(config);
        session.activations = config.train.activations;
        session.synced = config.train.sync_bn;
        session.recompute = config.train.recompute;
        Ok(session)
    }

    /// Trains as one of `group`: gradients, and what else the recipe says, are exchanged with the other ranks.
    ///
    /// # Errors
    /// No memory.
    pub fn join(&mut self, group: &Rc<Group>) -> Result<()> {
        if group.size() > 1 {
            self.share = Some(Tensor::new(&self.gpu, &[1.0], [1])?);
            self.workspace.group = Some(group.clone());
        }
        Ok(())
    }

    /// How much of the next batch's loss is this rank's.
    pub fn set_share(&self, share: f32) {
        if let Some(slice) = self.share.as_ref().and_then(Tensor::leaf) {
            self.gpu.write(slice, &[share]);
        }
    }

    /// What the recipe changes with the epoch: whether its weights hold, how far the run is.
    pub fn begin_epoch(&self, config: &Config, epoch: usize) {
        self.objective.weigh(parts::weighted(config, epoch));
        self.objective.progress(epoch as f64 / config.train.epochs as f64);
    }

    /// Takes a step of batches, each its size and what the kernels are told of it; the last one's plan updates.
    /// Does not wait for it.
    ///
    /// # Errors
    /// What planning or the driver reports.
    pub fn step(
        &mut self,
        set: &DeviceSet,
        batches: &[(usize, StepUniform)],
        augment: bool,
    ) -> Result<()> {
        let gpu = self.gpu.clone();
        for (i, (n, uniform)) in batches.iter().enumerate() {
            let update = i + 1 == batches.len();
            set.stage(uniform.first as usize, *n)?;
            self.batch_plan(set, *n, augment, update)?.run(uniform)?;
            gpu.throttle()?;
        }
        Ok(())
    }

    /// The plan of a training step on `n` images of `set`, whose predictions it notes: of its last batch, if
    /// it is of several. Made at first use.
    ///
    /// # Errors
    /// What tracing or planning reports.
    pub fn train_plan(&mut self, set: &DeviceSet, n: usize, augment: bool) -> Result<&Plan> {
        self.batch_plan(set, n, augment, true)
    }

    /// The plan of one of a step's batches, with or without the update.
    ///
    /// # Errors
    /// What tracing or planning reports.
    pub fn batch_plan(
        &mut self,
        set: &DeviceSet,
        n: usize,
        augment: bool,
        update: bool,
    ) -> Result<&Plan> {
        let key = (set.key(), n, Use::Train { augment, update });
        if !self.plans.contains_key(&key) {
            let mut scope = Scope::new(&self.params, Mode::Train);
            scope.fuse = self.fuse;
            scope.backbone = self.backbone;
            scope.synced = self.synced;
            scope.share.clone_from(&self.share);
            scope.recompute = self.recompute;
            let [x, labels] = self.images(set, n, augment, 0)?;
            let mut work = Work::new();
            let output = match &self.encoder {
                Some(encoder) => {
                    let learner = (&self.model, &scope);
                    let traced = encoder.trace(&self.objective, learner, &x, &labels)?;
                    self.round(&mut work, &traced.loss);
                    self.sgd.step(&mut work, &scope, &traced.loss, update)?;
                    for effect in encoder.follow(&traced, &self.params, self.sgd.flag()) {
                        work.effect(effect);
                    }
                    traced.output
                }
                None => {
                    let (loss, output) = self.loss(&scope, (set, n, augment), &x, &labels)?;
                    self.round(&mut work, &loss);
                    self.sgd.step(&mut work, &scope, &loss, update)?;
                    output
                }
            };
            if update {
                self.sgd.end(&mut work);
            }
            work.effect(predict(&self.gpu, &output, set.predictions()));
            self.plan(key, work)?;
        }
        self.plans.get(&key).ok_or_else(lost_plan)
    }

    /// Tells `work` as what activations wait for the backward pass of `loss`, and what is rounded.
    fn round(&self, work: &mut Work, loss: &Tensor) {
        let mixed = self.sgd.scales_loss();
        if mixed {
            work.halve_products();
        }
        if mixed || self.activations == Activations::F16 {
            work.halve_until(loss);
        }
    }

    /// The loss of a batch of `n` training images `x` of `set` \[1\], and the logits [N, classes].
    fn loss(
        &self,
        scope: &Scope<'_>,
        (set, n, augment): (&DeviceSet, usize, bool),
        x: &Tensor,
        labels: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let cut = self.mix != MixKind::Mixup;
        let mixed = match self.mix {
            MixKind::None => None,
            MixKind::Mixup | MixKind::CutMix => Some(ops::mix(x, x, labels, cut)?),
            MixKind::Cmo => {
                let [others, other_labels] = self.images(set, n, augment, 1)?;
                Some(ops::mix(x, &others, &other_labels, cut)?)
            }
        };
        let images = mixed.as_ref().map_or(x, |m| &m.x);
        let others = match self.between {
            true => {
                let [others, _] = self.images(set, n, augment, 1)?;
                Some(self.model.each_features(scope, &others)?)
            }
            false => None,
        };
        let pass = self.model.pass_through(scope, images, |e, own| match &others {
            Some(others) => ops::between(&own, &others[e]),
            None => Ok(own),
        })?;
        let each = &pass.logits;
        let mut loss = match (&mixed, &self.contrast) {
            (Some(m), _) => self.objective.of_mixed(each, [labels, &m.labels], &m.share)?,
            (None, None) => self.objective.of_all(each, labels)?,
            (None, Some(contrast)) => {
                let images = n / VIEWS;
                let first = |x: &Tensor| ops::rows(x, 0, images);
                let own: Vec<Tensor> = each.iter().map(first).collect::<Result<_>>()?;
                let usual = self.objective.of_all(&own, &first(labels)?)?;
                let z = self.model.project(scope, &pass.features[0])?;
                let prototypes = self.model.prototypes(scope)?;
                let others = |x: &Tensor| ops::rows(x, images, n - images);
                contrast.with(&usual, &others(&z)?, &others(labels)?, &prototypes)?
            }
        };
        if let Some(centroids) = self.model.centroids(scope) {
            loss = self.objective.remembered(&loss, labels, &pass.features[0], &centroids)?;
        }
        if let Some(teacher) = &self.teacher {
            loss = self.objective.taught(loss, labels, &pass, &teacher.pass(images)?)?;
        }
        Ok((loss, pass.output))
    }

    /// A batch of training images, or with `draw` = 1 of those that they are mixed with.
    fn images(&self, set: &DeviceSet, n: usize, augment: bool, draw: usize) -> Result<[Tensor; 2]> {
        // The square comes last: after the policy where there is one.
        let cutout = if self.policy.is_some() { 0 } else { self.cutout };
        let changes = Changes { crop_flip: augment, pad: self.pad, cutout, draw };
        let (x, labels) = set.batch_of(n, changes)?;
        let Some(policy) = &self.policy else { return Ok([x, labels]) };
        let [mean, std] = set.normalization();
        let images = Normalized { mean, std, cutout: self.cutout, draw };
        Ok([ops::augment(&x, policy, &images)?, labels])
    }

    fn plan(&mut self, key: Key, work: Work) -> Result<()> {
        let views = match key.2 {
            Use::Train { .. } if self.contrast.is_some() => VIEWS,
            Use::Train { .. } if self.encoder.is_some() => 2,
            _ => 1,
        };
        (self.workspace.rows, self.workspace.views) = (key.1, views);
        let plan = Plan::build(&mut self.workspace, work)?;
        self.plans.insert(key, plan);
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
