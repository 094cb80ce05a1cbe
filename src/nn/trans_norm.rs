//! Transferable normalization (Wang et al., NeurIPS 2019): two domains, each with statistics of its own, share
//! one affine map, and channels whose statistics agree count more.
//!
//! Every batch alternates: a sample of the source (here: drawn instance-balanced), then one of the target
//! (class-balanced). Seen as [N/2, 2C, …] its halves are channels, so one batch norm without affine map
//! whitens both. With r = mean/√(var + eps), d_k = |r_source − r_target|, p_k = 1/(1 + d_k):
//! y = (1 + α_k)(w_k x̂ + b_k), α_k = C·p_k/Σp, held fixed in the gradient; the variances in d are unbiased, as
//! in the authors' code. Evaluation whitens by the target's running statistics.

use super::EPS;
use crate::error::{Error, Result};
use crate::ops::{self, Affine, Normalization};
use crate::tensor::Tensor;

/// What follows the whitening.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    /// w \[C\]
    pub weight: &'a Tensor,
    /// b \[C\]
    pub bias: &'a Tensor,
    /// Added to the output before the ReLU.
    pub residual: Option<&'a Tensor>,
    /// y = max(·, 0) at the end.
    pub relu: bool,
}

/// A domain's mean and (unbiased) variance of each channel, both \[C\].
pub type Moments = [Tensor; 2];

/// Normalizes `x` [N, C, …], whose even samples are the source's and odd ones the target's: the output, and
/// the moments of source and target.
///
/// # Errors
/// An odd number of samples, or extents that do not fit.
pub fn trans_norm_train(x: &Tensor, after: &After<'_>) -> Result<(Tensor, [Moments; 2])> {
    let shape = x.dims().to_vec();
    let [n, c] = [shape[0], shape[1]];
    if !n.is_multiple_of(2) {
        return Err(Error::Shape {
            op: "trans_norm",
            message: format!("needs pairs of samples, but the input is {}", x.shape()),
        });
    }
    let mut paired = shape.clone();
    (paired[0], paired[1]) = (n / 2, 2 * c);
    let plain = Normalization {
        affine: Affine::None,
        eps: EPS,
        residual: None,
        relu: false,
        synced: false,
    };
    let made = ops::batch_norm_train(&ops::reshape(x, paired)?, &plain)?;
    let half = |moment: &Tensor, domain: usize| -> Result<Tensor> {
        let chosen: Vec<f32> = (0..2).map(|d| f32::from(u8::from(d == domain))).collect();
        let rows = ops::reshape(&ops::detach(moment), [2, c])?;
        let chosen = Tensor::new(x.gpu(), &chosen, [2, 1])?;
        ops::sum(&ops::binary("mul", &rows, &chosen)?, &[0], false)
    };
    let domain = |d| -> Result<Moments> { Ok([half(&made.mean, d)?, half(&made.variance, d)?]) };
    let moments = [domain(0)?, domain(1)?];
    let white = ops::reshape(&made.y, shape)?;
    // The affine map, sum and ReLU in one pass: a norm by mean 0 and variance 1.
    let [zeros, ones] = [0.0, 1.0].map(|v| ops::fill(x.gpu(), [c], v));
    let y = scaled(&white, [&zeros, &ones], 0.0, &factors(&moments)?, after)?;
    Ok((y, moments))
}

/// Normalizes `x` [N, C, …] by the target's moments.
///
/// # Errors
/// Extents that do not fit.
pub fn trans_norm_eval(x: &Tensor, moments: &[Moments; 2], after: &After<'_>) -> Result<Tensor> {
    let [_, [mean, variance]] = moments;
    scaled(x, [mean, variance], EPS, &factors(moments)?, after)
}

/// 1 + α_k \[C\].
fn factors(moments: &[Moments; 2]) -> Result<Tensor> {
    let gpu = moments[0][0].gpu();
    let number = |v| ops::fill(gpu, [1], v);
    let ratio = |[mean, variance]: &Moments| -> Result<Tensor> {
        ops::binary("div", mean, &ops::unary("sqrt", &ops::binary("add", variance, &number(EPS))?)?)
    };
    let apart =
        ops::unary("abs", &ops::binary("sub", &ratio(&moments[0])?, &ratio(&moments[1])?)?)?;
    let p = ops::unary("reciprocal", &ops::binary("add", &apart, &number(1.0))?)?;
    let channels = p.shape().len() as f32;
    let alpha = ops::binary("div", &p, &ops::sum(&p, &[0], true)?)?;
    ops::binary("add", &ops::binary("mul", &alpha, &number(channels))?, &number(1.0))
}

/// relu?(f·w·(x − mean)/√(variance + eps) + f·b + residual?), f = `factors`.
fn scaled(
    x: &Tensor,
    [mean, variance]: [&Tensor; 2],
    eps: f32,
    factors: &Tensor,
    after: &After<'_>,
) -> Result<Tensor> {
    let weight = ops::binary("mul", after.weight, factors)?;
    let bias = ops::binary("mul", after.bias, factors)?;
    let affine = Affine::Plain { weight: &weight, bias: &bias };
    let (residual, relu) = (after.residual, after.relu);
    let norm = Normalization { affine, eps, residual, relu, synced: false };
    ops::batch_norm_eval(x, mean, variance, &norm)
}
