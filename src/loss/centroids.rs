//! The loss that keeps a memory of centroids (OLTR, Liu et al., CVPR 2019): it draws features and their class's
//! centroid together, and holds others apart.
//!
//! L = 1/2N Σ_i ‖f_i − M_{y_i}‖² + 0.01·max(0, 10 − 1/NC Σ_i Σ_{k≠y_i} ‖f_i − M_k‖²). As in its authors' code
//! the first part moves M_k by the mean over its images and one more, not by their sum.

use super::terms::{add, complement, div, mul, plus, row_sum, sub, times};
use crate::error::Result;
use crate::nn::squared_distances;
use crate::ops;
use crate::tensor::Tensor;

/// Factor of what holds features and other centroids apart.
const REPEL: f32 = 0.01;
/// Mean squared distance from which it is silent.
const MARGIN: f32 = 10.0;

/// L of `features` [N, I] with `labels` \[N\] and `centroids` [C, I]: \[1\].
///
/// # Errors
/// Shapes that do not fit.
pub fn centroid_loss(features: &Tensor, labels: &Tensor, centroids: &Tensor) -> Result<Tensor> {
    let (n, classes) = (features.dims()[0], centroids.dims()[0]);
    let hot = ops::one_hot(labels, classes)?;
    let own = ops::matmul(&hot, centroids)?;
    let half = 0.5 / n as f32;
    let squares = |a: &Tensor, b: &Tensor| row_sum(&ops::unary("square", &sub(a, b)?)?);
    let number = |rows: &Tensor, factor: f32| -> Result<Tensor> {
        ops::reshape(&times(&ops::sum(rows, &[], true)?, factor)?, [1])
    };
    let drawn = number(&squares(features, &ops::detach(&own))?, half)?;
    // The centroids' share has a gradient and no value: the one above has it.
    let held = row_sum(&mul(&hot, &plus(&ops::sum(&hot, &[0], true)?, 1.0)?)?)?;
    let moved = number(&div(&squares(&ops::detach(features), &own)?, &held)?, half)?;
    let moved = sub(&moved, &ops::detach(&moved))?;
    let others = complement(&hot)?;
    let apart = mul(&squared_distances(features, centroids)?, &others)?;
    let apart = number(&apart, -1.0 / (n * classes) as f32)?;
    let margin = ops::fill(features.gpu(), [1], MARGIN);
    let repel = ops::unary("relu", &add(&apart, &margin)?)?;
    let repel = mul(&repel, &ops::fill(features.gpu(), [1], REPEL))?;
    add(&add(&drawn, &moved)?, &repel)
}
