//! Parametric contrastive learning (PaCo, Cui et al., ICCV 2021), as its authors' code has it: an image is
//! compared with others and, as if they were others too, with a learned centre of each class.
//!
//! With anchors q_i, keys k and a queue of earlier keys (unit vectors, s = q·z/τ) and centres at similarity
//! z_ij + log π_j: L = −mean_i [β (z_{i,y} + log π_y) + α Σ_{p ∈ P_i} s_ip] / (β + α |P_i|) + log Σ, where P_i are
//! the others of i's class among q, k and queue, and Σ = Σ_j π_j e^{z_ij} + Σ_{others} e^{s_io}.

use super::terms::{add, div, mul, not_itself, plus, row_sum, sub, times};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// Factors of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parametric {
    /// α, of an other of the class.
    pub others: f32,
    /// β, of the class's centre.
    pub centre: f32,
    /// τ
    pub temperature: f32,
}

/// What anchors are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// q [N, D]
    pub anchors: &'a Tensor,
    /// k [N, D], of the same images.
    pub keys: &'a Tensor,
    /// The queue [K, D].
    pub queue: &'a Tensor,
    /// Labels of the images \[N\].
    pub labels: &'a Tensor,
    /// Labels of the queue \[K\].
    pub queue_labels: &'a Tensor,
    /// z_ij + log π_j [N, C]
    pub centres: &'a Tensor,
}

/// L: \[1\].
///
/// # Errors
/// Shapes that do not fit.
pub fn parametric_contrast(with: &Compared<'_>, factors: &Parametric) -> Result<Tensor> {
    let (n, classes) = (with.anchors.dims()[0], with.centres.dims()[1]);
    let hot = ops::one_hot(with.labels, classes)?;
    let others = not_itself(with.anchors.gpu(), n)?;
    let same = ops::linear(&hot, &hot, None)?;
    let queued = ops::linear(&hot, &ops::one_hot(with.queue_labels, classes)?, None)?;
    let most = 1.0 / factors.temperature;
    let (mut sums, mut positives, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for (z, mine, counted) in [
        (with.anchors, mul(&same, &others)?, Some(&others)),
        (with.keys, same.clone(), None),
        (with.queue, queued, None),
    ] {
        // s − 1/τ, which is never above 0.
        let s = plus(&times(&ops::linear(with.anchors, z, None)?, most)?, -most)?;
        let e = ops::unary("exp", &s)?;
        sums.push(row_sum(&match counted {
            Some(counted) => mul(&e, counted)?,
            None => e,
        })?);
        positives.push(row_sum(&mul(&mine, &s)?)?);
        held.push(row_sum(&mine)?);
    }
    let held = ops::sum_of(&held)?;
    let beside = plus(&ops::unary("log", &ops::sum_of(&sums)?)?, most)?;
    // log Σ_j e^{c_ij}, by any j: here by the mean over all.
    let log_p = ops::log_softmax(with.centres)?;
    let centres = ops::mean(&sub(with.centres, &log_p)?, &[1], true)?;
    // log(e^a + e^b) = b + log(1 + e^{a − b})
    let total = add(&ops::unary("softplus", &sub(&beside, &centres)?)?, &centres)?;
    let own = times(&row_sum(&mul(&hot, with.centres)?)?, factors.centre)?;
    let near = add(&ops::sum_of(&positives)?, &times(&held, most)?)?;
    let drawn = add(&own, &times(&near, factors.others)?)?;
    let weights = plus(&times(&held, factors.others)?, factors.centre)?;
    let rows = sub(&total, &div(&drawn, &weights)?)?;
    ops::reshape(&ops::mean(&rows, &[], true)?, [1])
}
