//! mix: two batches of images into one, by a blend (mixup, Zhang et al., 2018) or a box (CutMix, Yun et
//! al., 2019). The share λ and the shift to each sample's partner come with the step. And between: rows of
//! features, each at a random place on its way to another (SMOTE, Chawla et al., 2002).

use super::{Noise, binary, dims, expect, misfit, noise};
use crate::error::Result;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::batch::{Mix, mix as program};
use evenkeel_kernels::{Caps, Program};

#[derive(Debug)]
struct Mixed(Mix);

/// A mixed batch.
pub struct MixedBatch {
    /// The images [N, C, H, W].
    pub x: Tensor,
    /// The partners' labels \[N\].
    pub labels: Tensor,
    /// λ, the share of the batch's own images and labels \[1\].
    pub share: Tensor,
}

/// `x` [N, C, H, W] mixed with `other` (as x, with its labels): sample i with `other`'s sample i +
/// `step.shift` mod N, by λ = `step.lambda`. With `cut`, a box of the other image instead of a blend, and
/// λ becomes what the box leaves. Images have no gradient.
///
/// # Errors
/// Shapes that differ, labels that are not integers.
pub fn mix(x: &Tensor, other: &Tensor, other_labels: &Tensor, cut: bool) -> Result<MixedBatch> {
    let [n, c, h, w] = dims("mix", "the images", x)?;
    expect("mix", "the other images", other, x.dims())?;
    expect("mix", "the other labels", other_labels, &[n])?;
    if other_labels.dtype() != DType::U32 {
        return Err(misfit("mix", "the labels must be integers"));
    }
    let mix = Mix { n: n as u32, c: c as u32, h: h as u32, w: w as u32, cut };
    let inputs = vec![x.clone(), other.clone(), other_labels.clone()];
    let outputs = [
        (x.shape().clone(), DType::F32),
        (Shape::from([n]), DType::U32),
        (Shape::from([1]), DType::F32),
    ];
    let [x, labels, share] = Tensor::record(x.gpu(), Mixed(mix), inputs, outputs);
    Ok(MixedBatch { x, labels, share })
}

/// Tells the random numbers of [`between`] apart from others of a step.
const BETWEEN: u32 = 16;

/// x_i + δ_i(x'_i − x_i) for each row of `x` and `other` [N, I], δ_i uniform in [0, 1) and new at every step.
///
/// # Errors
/// Shapes that differ.
pub fn between(x: &Tensor, other: &Tensor) -> Result<Tensor> {
    let [n, _] = dims("between", "the features", x)?;
    expect("between", "the other features", other, x.dims())?;
    let delta = noise(x.gpu(), [n, 1], Noise::Uniform, BETWEEN);
    binary("add", x, &binary("mul", &binary("sub", other, x)?, &delta)?)
}

impl Op for Mixed {
    fn name(&self) -> &'static str {
        if self.0.cut { "cutmix" } else { "mixup" }
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        program(&self.0, caps)
    }

    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None; 3])
    }
}
