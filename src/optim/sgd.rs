//! Stochastic gradient descent with momentum and weight decay, as `torch.optim.SGD` has it:
//! g ← g + wd·p;  m ← μ·m + g;  d = g + μ·m (Nesterov) or m;  p ← p − lr·d.
//!
//! Before it a guard scans gradients and loss; once something is not finite, neither parameters nor
//! running statistics change any more until the alarm is read, so what is on the device stays good.

use crate::error::Result;
use crate::gpu::{Gpu, at_once};
use crate::graph::{Effect, Work};
use crate::nn::{Kind, Mode, Params, SCALE_FACTOR, Scope, in_head, in_head_scales, is_head_weight};
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
    groups: Tensor,
    flag: Tensor,
    ring: Tensor,
    /// The longest a row of the classifier's weight may be after a step (weight balancing).
    pub row_limit: Option<f32>,
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
        Ok(Sgd {
            options,
            groups: Tensor::integers(gpu, &blocks, [blocks.len()])?,
            flag: Tensor::integers(gpu, &[0; kernels::FLAG_WORDS], [kernels::FLAG_WORDS])?,
            ring: Tensor::new(gpu, &[0.0; Self::RING], [Self::RING])?,
            row_limit: None,
        })
    }

    /// Adds to `work`: the gradients of `loss`, the guard, the update, the running statistics that
    /// `scope` noted, and the loss's entry in the ring.
    ///
    /// # Errors
    /// An op on the way without a gradient.
    pub fn step(&self, work: &mut Work, scope: &Scope<'_>, loss: &Tensor) -> Result<()> {
        let params = scope.params;
        let learning = self.options.learning;
        let slots: Vec<_> = params
            .slots(Kind::Parameter)
            .filter(|slot| learning.takes(params.name(*slot)))
            .collect();
        let leaves: Vec<&Tensor> = slots.iter().map(|s| params.tensor(*s)).collect();
        for (slot, gradient) in slots.iter().zip(crate::graph::grad(loss, &leaves)?) {
            if let Some(gradient) = gradient {
                work.store(&gradient, params.twin(*slot));
            }
        }
        let noted = scope.noted();
        for (slot, value) in &noted {
            work.store(value, params.twin(*slot));
        }
        let caps = &params.values.gpu().caps;
        let words = |t: &Tensor| t.shape().len() as u32;
        let mut effect = |name, program, args: &[&Tensor]| {
            work.effect(Effect { name, program, args: args.iter().copied().cloned().collect() });
        };
        let (values, flag) = (&params.values, &self.flag);
        let total = words(values);
        effect("guard", kernels::guard(total, caps), &[&params.gradients, loss, flag]);
        let update = kernels::Sgd {
            words: total,
            momentum: self.options.momentum,
            nesterov: self.options.nesterov,
            groups: self.options.groups().to_vec(),
        };
        effect(
            "sgd",
            kernels::sgd(&update, caps),
            &[values, &params.gradients, &params.momentum, &self.groups, flag],
        );
        let weight = params.slots(Kind::Parameter).find(|s| is_head_weight(params.name(*s)));
        if let (Some(limit), Some(slot)) = (self.row_limit, weight) {
            let weight = params.tensor(slot);
            let [rows, cols] = [weight.dims()[0] as u32, weight.dims()[1] as u32];
            effect("max_norm", kernels::max_norm(rows, cols, limit, caps), &[weight, flag]);
        }
        // Below a classifier that learns alone, statistics stay as they are.
        let statistics = params.slots(Kind::Statistic).count();
        if scope.mode == Mode::Train && noted.len() == statistics {
            let running = &params.running;
            let update = kernels::running_update(words(running), crate::nn::MOMENTUM, caps);
            effect("running", update, &[running, &params.batch, flag]);
        }
        effect("record", kernels::record(), &[loss, &self.ring]);
        Ok(())
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
        let Some(slice) = self.ring.leaf() else { return Ok(Vec::new()) };
        let ring: Vec<f32> = gpu.read_async(slice).await?;
        Ok((from..to).map(|s| ring[s as usize % Self::RING]).collect())
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
