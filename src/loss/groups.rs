//! ACE's loss (Cai et al., ICCV 2021): each expert learns from the samples of its classes, and keeps its logits of the
//! other classes small.
//!
//! L = Σ_e s_e·mean over the samples with y ∈ T_e of [v_y·CE(z_e) + λ·mean_{j ∉ T_e} z_ej²], s_e the share of the training
//! images that are of T_e. The paper sets each expert's learning rate in proportion to s_e; as a factor of its loss it
//! does the same to the expert's own parameters but for weight decay. Recalled, not read again: the penalty's form;
//! ours: its mean over classes, and the groups (`nn::groups`).

use super::terms::{add, at_least, div, mul, row_sum};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// What an expert adds: `rows` [N, 1] of its loss, its logits [N, C], `hot` 1 at the labels, `mask` 1 at its
/// classes, its `share` of the images: \[1\].
pub(super) fn part(
    rows: &Tensor,
    (logits, hot): (&Tensor, &Tensor),
    mask: &[f32],
    (share, suppress): (f64, f64),
) -> Result<Tensor> {
    let gpu = logits.gpu();
    let others = mask.iter().filter(|m| **m == 0.0).count();
    let own = Tensor::new(gpu, mask, [1, mask.len()])?;
    let rest: Vec<f32> =
        mask.iter().map(|m| suppress as f32 * (1.0 - m) / others.max(1) as f32).collect();
    let rest = Tensor::new(gpu, &rest, [1, rest.len()])?;
    let penalty = row_sum(&mul(&ops::unary("square", logits)?, &rest)?)?;
    let taken = row_sum(&mul(hot, &own)?)?;
    let sum = ops::sum(&mul(&taken, &add(rows, &penalty)?)?, &[], false)?;
    let count = at_least(&ops::reshape(&ops::sum(&taken, &[], false)?, [1, 1])?, 1.0)?;
    let mean = ops::reshape(&div(&ops::reshape(&sum, [1, 1])?, &count)?, [1])?;
    mul(&mean, &ops::fill(gpu, [1], share as f32))
}
