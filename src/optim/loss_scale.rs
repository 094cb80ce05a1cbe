//! Dynamic loss scaling, on the device alone: the loss is multiplied by a power of two, so that gradients too small for
//! halves are not lost, its gradients are divided by it again, and after each step the factor follows what the
//! guard has found (`kernels/optim/rescale.wgsl`).

use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::Effect;
use crate::nn::Learned;
use crate::ops;
use crate::tensor::Tensor;
use evenkeel_kernels::{Program, optim as kernels};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// The scale and how it came about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaled {
    /// The factor of the next step's loss.
    pub scale: f32,
    /// Steps in a row since it changed.
    pub finite: u32,
    /// Steps that were left out, of all.
    pub skipped: u32,
}

impl Default for Scaled {
    /// As `torch.amp.GradScaler` begins.
    fn default() -> Self {
        Scaled { scale: 65_536.0, finite: 0, skipped: 0 }
    }
}

/// Its place on the device.
pub(super) struct LossScale {
    scale: Tensor,
    counts: Tensor,
}

impl LossScale {
    pub(super) fn new(gpu: &Rc<Gpu>) -> Result<Self> {
        let start = Scaled::default();
        Ok(LossScale {
            scale: Tensor::new(gpu, &[start.scale], [1])?,
            counts: Tensor::integers(gpu, &[start.finite, start.skipped], [2])?,
        })
    }

    /// The loss that gradients are taken of.
    pub(super) fn of(&self, loss: &Tensor) -> Result<Tensor> {
        ops::binary("mul", loss, &self.scale)
    }

    /// What divides a part's gradients by the scale, when they have been looked at.
    pub(super) fn unscale<'a>(&'a self, part: &'a Learned) -> (Program, [&'a Tensor; 2]) {
        let gradients = part.by_batch();
        let words = gradients.shape().len() as u32;
        (kernels::unscale(words, &gradients.gpu().caps), [gradients, &self.scale])
    }

    /// What follows a step: the next one's scale.
    pub(super) fn rescale(&self, flag: &Tensor) -> Effect {
        Effect {
            name: "rescale",
            program: kernels::rescale(kernels::SCALE_GROWS),
            args: vec![self.scale.clone(), self.counts.clone(), flag.clone()],
        }
    }

    pub(super) fn read(&self, gpu: &Gpu) -> Result<Scaled> {
        let scale = self.scale.to_vec()?[0];
        let counts: Vec<u32> = match self.counts.leaf() {
            Some(slice) => gpu.read(slice)?,
            None => vec![0; 2],
        };
        Ok(Scaled { scale, finite: counts[0], skipped: counts[1] })
    }

    pub(super) fn write(&self, gpu: &Gpu, now: Scaled) {
        if let (Some(scale), Some(counts)) = (self.scale.leaf(), self.counts.leaf()) {
            gpu.write(scale, &[now.scale]);
            gpu.write(counts, &[now.finite, now.skipped]);
        }
    }
}
