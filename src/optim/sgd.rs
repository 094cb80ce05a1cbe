//! Stochastic gradient descent with momentum and weight decay, as `torch.optim.SGD` has it:
//! g ← g + wd·p;  m ← μ·m + g;  d = g + μ·m (Nesterov) or m;  p ← p − lr·d.
//!
//! A step may be of several batches, whose gradients and losses are added up, each with its share of the
//! step's samples; only the last one's plan goes on to the update. Before it gradients may be clipped by
//! their norm, after it averages of the weights may follow.
//!
//! First of all a guard scans gradients and loss; once something is not finite, neither parameters nor
//! running statistics change any more until the alarm is read, so what is on the device stays good. With loss
//! scaling (`loss_scale`) a gradient beyond the range leaves out the one step.

use super::buckets::{WORDS, buckets};
use super::loss_scale::{LossScale, Scaled};
use crate::error::Result;
use crate::gpu::{Gpu, at_once};
use crate::graph::{Effect, Work};
use crate::nn::{
    Kind, Mode, Params, SCALE_FACTOR, Scope, Tracked, in_head, in_head_scales, is_head_weight,
};
use crate::ops;
use crate::tensor::Tensor;
use evenkeel_kernels::optim as kernels;
use std::rc::Rc;

/// Which parameters learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Learning {
    /// All.
    #[default]
    All,
    /// The classifier's.
    Head,
    /// The classifier's factors on logits ([`in_head_scales`]).
    Scale,
}

impl Learning {
    /// Whether the parameter `name` learns.
    pub fn takes(self, name: &str) -> bool {
        match self {
            Learning::All => true,
            Learning::Head => in_head(name),
            Learning::Scale => in_head_scales(name),
        }
    }
}

/// Constants of the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdOptions {
    /// μ
    pub momentum: f32,
    /// Nesterov's form.
    pub nesterov: bool,
    /// wd of every parameter ...
    pub weight_decay: f32,
    /// ... but not of NBN's α (the reference's `-w`).
    pub spare_scale_factor: bool,
    /// Which parameters learn; the others keep their bits.
    pub learning: Learning,
    /// Factor on the learning rate of the classifier's weight and bias.
    pub head_lr: f32,
    /// A step may be of several batches.
    pub accumulate: bool,
    /// Mixed precision: gradients are taken of a multiple of the loss, for products of halves.
    pub loss_scaling: bool,
    /// The largest 2-norm of all gradients: longer ones are shortened to it.
    pub clip_norm: Option<f32>,
    /// Decay of the averages over the steps of parameters and running statistics, which are what is
    /// evaluated.
    pub ema: Option<f64>,
}

impl Default for SgdOptions {
    /// Plain gradient descent on everything.
    fn default() -> Self {
        SgdOptions {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            spare_scale_factor: false,
            learning: Learning::All,
            head_lr: 1.0,
            accumulate: false,
            loss_scaling: false,
            clip_norm: None,
            ema: None,
        }
    }
}

impl SgdOptions {
    /// The groups of parameters, and which one `name` belongs to.
    fn groups(&self) -> [kernels::Group; 4] {
        let group = |weight_decay, lr_scale| kernels::Group { weight_decay, lr_scale };
        let decay = self.weight_decay;
        [group(decay, 1.0), group(0.0, 1.0), group(decay, self.head_lr), group(0.0, 0.0)]
    }

    fn group_of(&self, name: &str) -> u32 {
        match name {
            _ if !self.learning.takes(name) => 3,
            _ if in_head_scales(name) => 0,
            _ if in_head(name) => 2,
            _ if self.spare_scale_factor && name.ends_with(SCALE_FACTOR) => 1,
            _ => 0,
        }
    }
}

/// What the guard found, if anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Optimizer step (from 0) at which it was first seen.
    pub step: u32,
    /// The loss was not finite.
    pub loss: bool,
    /// The first parameter, in the network's order, whose gradient was not finite.
    pub parameter: Option<String>,
}

/// The optimizer's device state beside the parameters' own.
pub struct Sgd {
    options: SgdOptions,
    /// The group of each block, part by part.
    groups: Vec<Tensor>,
    flag: Tensor,
    /// The step's loss from those of its batches.
    loss: Tensor,
    ring: Tensor,
    clip: Option<Clip>,
    scaling: Option<LossScale>,
    /// The longest a row of the classifier's weight may be after a step (weight balancing).
    pub row_limit: Option<f32>,
}

/// Clipping's place on the device.
struct Clip {
    limit: f32,
    /// Sums of squares of runs of the gradients.
    sums: Tensor,
    /// The norms of the last steps.
    ring: Tensor,
}

impl Clip {
    fn new(gpu: &Rc<Gpu>, params: &Params, limit: f32) -> Result<Self> {
        let sums: u32 =
            params.learned.iter().map(|p| kernels::square_sums(words(&p.values), &gpu.caps)).sum();
        Ok(Clip {
            limit,
            sums: Tensor::new(gpu, &vec![0.0; sums as usize], [sums as usize])?,
            ring: Tensor::new(gpu, &[0.0; Sgd::RING], [Sgd::RING])?,
        })
    }
}

fn words(t: &Tensor) -> u32 {
    t.shape().len() as u32
}

impl Sgd {
    /// Losses the ring holds before the oldest is overwritten.
    pub const RING: usize = 1024;

    /// Prepares the update of `params`.
    ///
    /// # Errors
    /// No memory.
    pub fn new(gpu: &Rc<Gpu>, params: &Params, options: SgdOptions) -> Result<Self> {
        let blocks = params.blocks(|name| options.group_of(name));
        let groups = blocks.iter().map(|of| Tensor::integers(gpu, of, [of.len()]));
        Ok(Sgd {
            options,
            groups: groups.collect::<Result<_>>()?,
            flag: Tensor::integers(gpu, &[0; kernels::FLAG_WORDS], [kernels::FLAG_WORDS])?,
            loss: Tensor::new(gpu, &[0.0], [1])?,
            ring: Tensor::new(gpu, &[0.0; Self::RING], [Self::RING])?,
            clip: options.clip_norm.map(|limit| Clip::new(gpu, params, limit)).transpose()?,
            scaling: options.loss_scaling.then(|| LossScale::new(gpu)).transpose()?,
            row_limit: None,
        })
    }

    /// Adds to `work`: the gradients of `loss`, the guard and the running statistics that `scope` noted; and
    /// if this is the step's last batch (`update`), clipping, the update, the averages, and the loss's entry in
    /// the ring. What else heeds the flag comes between this and [`Sgd::end`].
    ///
    /// # Errors
    /// An op on the way without a gradient.
    pub fn step(
        &self,
        work: &mut Work,
        scope: &Scope<'_>,
        loss: &Tensor,
        update: bool,
    ) -> Result<()> {
        let params = scope.params;
        // Of several ranks each has its share of the loss, whose gradients add up; all note the whole one.
        let own = scope.share.as_ref().map(|share| ops::binary("mul", loss, share)).transpose()?;
        let whole = own.as_ref().map(ops::all_reduce);
        let (own, loss) = (own.as_ref().unwrap_or(loss), whole.as_ref().unwrap_or(loss));
        let scaled = self.scaling.as_ref().map(|scaling| scaling.of(own)).transpose()?;
        let own = scaled.as_ref().unwrap_or(own);
        let learning = self.options.learning;
        let slots: Vec<_> = params
            .slots(Kind::Parameter)
            .filter(|slot| learning.takes(params.name(*slot)))
            .collect();
        let leaves: Vec<&Tensor> = slots.iter().map(|s| params.tensor(*s)).collect();
        for (slot, gradient) in
            slots.iter().zip(crate::graph::grad_again(own, &leaves, &scope.segments())?)
        {
            if let Some(gradient) = gradient {
                work.store(&gradient, params.twin(*slot));
            }
        }
        for bucket in buckets(params, &slots, WORDS) {
            work.sum_over_ranks(bucket);
        }
        let noted = scope.noted();
        for (slot, value) in &noted {
            work.store(value, params.twin(*slot));
        }
        let caps = &loss.gpu().caps;
        let mut effect = |name, program, args: &[&Tensor]| {
            work.effect(Effect { name, program, args: args.iter().copied().cloned().collect() });
        };
        let flag = &self.flag;
        for part in &params.learned {
            let guard = kernels::guard(words(&part.values), part.first as u32, caps);
            effect("guard", guard, &[part.by_batch(), loss, flag]);
        }
        if let Some(scaling) = &self.scaling {
            for part in &params.learned {
                let (program, args) = scaling.unscale(part);
                effect("unscale", program, &args);
            }
        }
        // Below a classifier that learns alone, statistics stay as they are.
        let statistics = params.slots(Kind::Statistic).count();
        if scope.mode == Mode::Train && noted.len() == statistics {
            for Tracked { running, batch, .. } in &params.tracked {
                let update = kernels::running_update(words(running), crate::nn::MOMENTUM, caps);
                effect("running", update, &[running, batch, flag]);
            }
        }
        let mut loss = loss;
        if self.options.accumulate {
            for part in &params.learned {
                let sum = kernels::accumulate(words(&part.gradients), caps);
                effect("accumulate", sum, &[&part.gradients, part.by_batch()]);
            }
            effect("accumulate", kernels::accumulate(1, caps), &[&self.loss, loss]);
            loss = &self.loss;
        }
        if !update {
            return Ok(());
        }
        if let Some(Clip { limit, sums, ring }) = &self.clip {
            let mut first = 0;
            for part in &params.learned {
                let count = words(&part.gradients);
                effect(
                    "square_sum",
                    kernels::square_sum(count, first, caps),
                    &[&part.gradients, sums],
                );
                first += kernels::square_sums(count, caps);
            }
            for part in &params.learned {
                let clip = kernels::clip(words(&part.gradients), *limit, caps);
                effect("clip", clip, &[&part.gradients, sums, ring]);
            }
        }
        for (part, groups) in params.learned.iter().zip(&self.groups) {
            let update = kernels::Sgd {
                words: words(&part.values),
                momentum: self.options.momentum,
                nesterov: self.options.nesterov,
                groups: self.options.groups().to_vec(),
            };
            let args = [&part.values, &part.gradients, &part.momentum, groups, flag];
            effect("sgd", kernels::sgd(&update, caps), &args);
        }
        let weight = params.slots(Kind::Parameter).find(|s| is_head_weight(params.name(*s)));
        if let (Some(limit), Some(slot)) = (self.row_limit, weight) {
            let weight = params.tensor(slot);
            let [rows, cols] = [weight.dims()[0] as u32, weight.dims()[1] as u32];
            effect("max_norm", kernels::max_norm(rows, cols, limit, caps), &[weight, flag]);
        }
        if let Some(decay) = self.options.ema {
            let learned = params.learned.iter().map(|p| (&p.averages, &p.values));
            let tracked = params.tracked.iter().map(|p| (&p.averages, &p.running));
            for (averages, values) in learned.chain(tracked) {
                let Some(averages) = averages else { continue };
                let ema = kernels::ema(words(values), decay, caps);
                effect("ema", ema, &[averages, values, flag]);
            }
        }
        effect("record", kernels::record(), &[loss, &self.ring]);
        Ok(())
    }

    /// Adds to `work` what comes last in a step: the loss scale of the next one.
    pub fn end(&self, work: &mut Work) {
        if let Some(scaling) = &self.scaling {
            work.effect(scaling.rescale(&self.flag));
        }
    }

    /// Whether gradients are taken of a multiple of the loss: then a step is in mixed precision.
    pub fn scales_loss(&self) -> bool {
        self.scaling.is_some()
    }

    /// The loss scale; none where there is no scaling.
    ///
    /// # Errors
    /// A lost device.
    pub fn scaled(&self, gpu: &Gpu) -> Result<Option<Scaled>> {
        self.scaling.as_ref().map(|scaling| scaling.read(gpu)).transpose()
    }

    /// Goes on with the loss scale of an earlier run.
    pub fn scale_as(&self, gpu: &Gpu, was: Scaled) {
        if let Some(scaling) = &self.scaling {
            scaling.write(gpu, was);
        }
    }

    /// What the guard has found, on the device: the first word is not 0 once something is not finite.
    pub fn flag(&self) -> &Tensor {
        &self.flag
    }

    /// The losses of steps `from..to`, oldest first; at most [`Sgd::RING`] of them are there.
    ///
    /// # Errors
    /// A lost device.
    pub fn losses(&self, gpu: &Gpu, from: u32, to: u32) -> Result<Vec<f32>> {
        at_once(self.losses_async(gpu, from, to))
    }

    /// [`Sgd::losses`], awaited.
    ///
    /// # Errors
    /// A lost device.
    pub async fn losses_async(&self, gpu: &Gpu, from: u32, to: u32) -> Result<Vec<f32>> {
        entries(&self.ring, gpu, from, to).await
    }

    /// The 2-norms of all gradients before clipping of steps `from..to`, oldest first, at most [`Sgd::RING`];
    /// none where nothing is clipped.
    ///
    /// # Errors
    /// A lost device.
    pub fn norms(&self, gpu: &Gpu, from: u32, to: u32) -> Result<Option<Vec<f32>>> {
        let ring = self.clip.as_ref().map(|clip| &clip.ring);
        ring.map(|ring| at_once(entries(ring, gpu, from, to))).transpose()
    }

    /// What the guard has found since the last call.
    ///
    /// # Errors
    /// A lost device.
    pub fn alarm(&self, gpu: &Gpu, params: &Params) -> Result<Option<Alarm>> {
        at_once(self.alarm_async(gpu, params))
    }

    /// [`Sgd::alarm`], awaited.
    ///
    /// # Errors
    /// A lost device.
    pub async fn alarm_async(&self, gpu: &Gpu, params: &Params) -> Result<Option<Alarm>> {
        let Some(slice) = self.flag.leaf() else { return Ok(None) };
        let flag: Vec<u32> = gpu.read_async(slice).await?;
        let Some(found) = kernels::NonFinite::decode([flag[0], flag[1], flag[2], flag[3]]) else {
            return Ok(None);
        };
        gpu.write(slice, &[0u32; kernels::FLAG_WORDS]);
        let owner = found.block.and_then(|b| params.owner(b as usize));
        Ok(Some(Alarm { step: found.step, loss: found.loss, parameter: owner.map(str::to_string) }))
    }
}

/// The entries of steps `from..to` in a ring.
async fn entries(ring: &Tensor, gpu: &Gpu, from: u32, to: u32) -> Result<Vec<f32>> {
    let Some(slice) = ring.leaf() else { return Ok(Vec::new()) };
    let ring: Vec<f32> = gpu.read_async(slice).await?;
    Ok((from..to).map(|s| ring[s as usize % Sgd::RING]).collect())
}
