//! Balanced contrastive learning (Zhu et al., CVPR 2022): a second branch that pulls the projected features of
//! a class together, in which every class counts as much in the denominator, however often the batch holds it.
//!
//! Three views of each image: the first for the usual loss, the others z_i (unit vectors, 2N of them) for
//! L = −mean_i [mean_{p ∈ P_i} s_ip − log Σ_j mean_{k ∈ A_ij} e^{s_ik}], s = z·z/τ. A class j holds its z in
//! the batch and its prototype, a unit vector made of the classifier's weight; A_ij is class j without i
//! itself, P_i that of i's own class.

use super::terms::{add, div, mul, not_itself, plus, row_sum, sub, times};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// Views of an image that a step sees: as the classifier does, and two for the contrast.
pub const VIEWS: usize = 3;

/// What a recipe says of the contrastive branch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// Factor of the usual loss.
    pub loss: f32,
    /// Factor of the contrast.
    pub weight: f32,
    /// τ
    pub temperature: f32,
}

impl Contrast {
    /// loss·`usual` + weight·L: \[1\].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn with(
        &self,
        usual: &Tensor,
        views: &Tensor,
        labels: &Tensor,
        prototypes: &Tensor,
    ) -> Result<Tensor> {
        let contrast = balanced_contrast(views, labels, prototypes, self.temperature)?;
        let scaled = |x: &Tensor, factor: f32| mul(x, &ops::fill(x.gpu(), [1], factor));
        add(&scaled(usual, self.loss)?, &scaled(&contrast, self.weight)?)
    }
}

/// L of unit vectors `z` [M, D] with `labels` \[M\], and the classes' `prototypes` [C, D]: \[1\].
///
/// # Errors
/// Shapes that do not fit.
pub fn balanced_contrast(
    z: &Tensor,
    labels: &Tensor,
    prototypes: &Tensor,
    temperature: f32,
) -> Result<Tensor> {
    let gpu = z.gpu();
    let (m, classes) = (z.dims()[0], prototypes.dims()[0]);
    // s − 1/τ, which is never above 0 and changes nothing.
    let similar = |other: &Tensor| -> Result<Tensor> {
        plus(&times(&ops::linear(z, other, None)?, 1.0 / temperature)?, -1.0 / temperature)
    };
    let (to_views, to_prototypes) = (similar(z)?, similar(prototypes)?);
    let hot = ops::one_hot(labels, classes)?;
    let others = not_itself(gpu, m)?;
    let positives = mul(&ops::linear(&hot, &hot, None)?, &others)?;
    // What each class holds, and what the class of each view does.
    let held = plus(&ops::sum(&hot, &[0], true)?, 1.0)?;
    let held_by_own = ops::reshape(&row_sum(&mul(&hot, &held)?)?, [1, m])?;
    let views =
        div(&mul(&ops::unary("exp", &to_views)?, &others)?, &sub(&held_by_own, &positives)?)?;
    let centres = div(&ops::unary("exp", &to_prototypes)?, &sub(&held, &hot)?)?;
    let denominator = add(&row_sum(&views)?, &row_sum(&centres)?)?;
    let own = add(&row_sum(&mul(&positives, &to_views)?)?, &row_sum(&mul(&hot, &to_prototypes)?)?)?;
    let mean = div(&own, &plus(&row_sum(&positives)?, 1.0)?)?;
    let rows = sub(&ops::unary("log", &denominator)?, &mean)?;
    ops::reshape(&ops::mean(&rows, &[], true)?, [1])
}
