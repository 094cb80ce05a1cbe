//! Stochastic gradient descent with momentum and weight decay, as `torch.optim.SGD` has it:
//! g ← g + wd·p;  m ← μ·m + g;  d = g + μ·m (Nesterov) or m;  p ← p − lr·d.
//!
//! Before it a guard scans gradients and loss; once something is not finite, neither parameters nor
//! running statistics change any more until the alarm is read, so what is on the device stays good.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::{Effect, Work};
use crate::nn::{Kind, Mode, Params, Scope};
use crate::tensor::Tensor;
use evenkeel_kernels::optim as kernels;
use std::rc::Rc;

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
}

impl Sgd {
    /// Losses the ring holds before the oldest is overwritten.
    pub const RING: usize = 1024;

    /// Prepares the update of `params`.
    ///
    /// # Errors
    /// No memory.
    pub fn new(gpu: &Rc<Gpu>, params: &Params, options: SgdOptions) -> Result<Self> {
        let spare = options.spare_scale_factor;
        let group = |name: &str| u32::from(spare && name == crate::nn::SCALE_FACTOR);
        let blocks = params.blocks(group);
        Ok(Sgd {
            options,
            groups: Tensor::integers(gpu, &blocks, [blocks.len()])?,
            flag: Tensor::integers(gpu, &[0; kernels::FLAG_WORDS], [kernels::FLAG_WORDS])?,
            ring: Tensor::new(gpu, &[0.0; Self::RING], [Self::RING])?,
        })
    }

    /// Adds to `work`: the gradients of `loss`, the guard, the update, the running statistics that
    /// `scope` noted, and the loss's entry in the ring.
    ///
    /// # Errors
    /// An op on the way without a gradient.
    pub fn step(&self, work: &mut Work, scope: &Scope<'_>, loss: &Tensor) -> Result<()> {
        let params = scope.params;
        let slots: Vec<_> = params.slots(Kind::Parameter).collect();
        let leaves: Vec<&Tensor> = slots.iter().map(|s| params.tensor(*s)).collect();
        for (slot, gradient) in slots.iter().zip(crate::graph::grad(loss, &leaves)?) {
            if let Some(gradient) = gradient {
                work.store(&gradient, params.twin(*slot));
            }
        }
        for (slot, value) in scope.noted() {
            work.store(&value, params.twin(slot));
        }
        let caps = &params.values.gpu().caps;
        let words = |t: &Tensor| t.shape().len() as u32;
        let mut effect = |name, program, args: &[&Tensor]| {
            work.effect(Effect { name, program, args: args.iter().copied().cloned().collect() });
        };
        let (values, flag) = (&params.values, &self.flag);
        let total = words(values);
        effect("guard", kernels::guard(total, caps), &[&params.gradients, loss, flag]);
        let decay = self.options.weight_decay;
        let update = kernels::Sgd {
            words: total,
            momentum: self.options.momentum,
            nesterov: self.options.nesterov,
            groups: [decay, 0.0]
                .into_iter()
                .map(|weight_decay| kernels::Group { weight_decay, lr_scale: 1.0 })
                .collect(),
        };
        effect(
            "sgd",
            kernels::sgd(&update, caps),
            &[values, &params.gradients, &params.momentum, &self.groups, flag],
        );
        if scope.mode == Mode::Train {
            let running = &params.running;
            let update = kernels::running_update(words(running), crate::nn::MOMENTUM, caps);
            effect("running", update, &[running, &params.batch, flag]);
        }
        effect("record", kernels::record(), &[loss, &self.ring]);
        Ok(())
    }

    /// The losses of steps `from..to`, oldest first; at most [`Sgd::RING`] of them are there.
    ///
    /// # Errors
    /// A lost device.
    pub fn losses(&self, gpu: &Gpu, from: u32, to: u32) -> Result<Vec<f32>> {
        let Some(slice) = self.ring.leaf() else { return Ok(Vec::new()) };
        let ring: Vec<f32> = gpu.read(slice)?;
        Ok((from..to).map(|s| ring[s as usize % Self::RING]).collect())
    }

    /// What the guard has found since the last call.
    ///
    /// # Errors
    /// A lost device.
    pub fn alarm(&self, gpu: &Gpu, params: &Params) -> Result<Option<Alarm>> {
        let Some(slice) = self.flag.leaf() else { return Ok(None) };
        let flag: Vec<u32> = gpu.read(slice)?;
        let Some(found) = kernels::NonFinite::decode([flag[0], flag[1], flag[2], flag[3]]) else {
            return Ok(None);
        };
        gpu.write(slice, &[0u32; kernels::FLAG_WORDS]);
        let owner = found.block.and_then(|b| params.owner(b as usize));
        Ok(Some(Alarm { step: found.step, loss: found.loss, parameter: owner.map(str::to_string) }))
    }
}
