//! TLC's loss (Li et al., CVPR 2022): each expert learns from the samples that still need it, and is told to keep
//! no evidence for wrong classes.
//!
//! L = Σ_e mean over the samples with w_e/max w_e > τ of [v_y·CE(z_e) + λ·t·KL(Dir(α̃) ‖ Dir(1))], α̃ = e^z + 1 but 1 at
//! the label, t the share of the run behind, w_e as in `nn::evidence`.
//!
//! KL = log Γ(S) − log Γ(C) − Σ log Γ(α̃) + Σ (α̃ − 1)(ψ(α̃) − ψ(S)), whose terms grow as α̃ log α̃ and cancel. With
//! log Γ(x) = (x − ½) log x − x + ½ log 2π + r(x) and ψ(x) = log x − d(x) it is
//! (C − ½) log S − ½ Σ log α̃ + r(S) − Σ r(α̃) + (S − C) d(S) − Σ (α̃ − 1) d(α̃) + ½(1 − C) log 2π − log Γ(C),
//! whose terms grow as logarithms: `stirling_rest` is r, `digamma_rest` d.

use super::terms::{add, at_least, div, mul, plus, row_sum, sub, times};
use crate::error::Result;
use crate::ops::{self, Pool2dOptions};
use crate::tensor::Tensor;

/// What TLC adds to a loss of several experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// λ, the divergence's factor at the end of the run.
    pub rate: f64,
    /// τ
    pub engage: f64,
}

/// KL(Dir(α̃) ‖ Dir(1)) of each row [N, 1]; logits [N, C], `hot` 1 at the labels [N, C].
pub(super) fn divergence(logits: &Tensor, hot: &Tensor) -> Result<Tensor> {
    let classes = logits.dims()[1] as f64;
    let one = ops::fill(logits.gpu(), [1, 1], 1.0);
    // α̃ − 1
    let extra = mul(&ops::unary("exp", logits)?, &sub(&one, hot)?)?;
    let alpha = plus(&extra, 1.0)?;
    let extra_sum = row_sum(&extra)?;
    let s = plus(&extra_sum, classes as f32)?;
    let half = times(&ops::unary("log", &alpha)?, 0.5)?;
    let rest = add(&half, &ops::unary("stirling_rest", &alpha)?)?;
    let each = add(&rest, &mul(&extra, &ops::unary("digamma_rest", &alpha)?)?)?;
    let whole = times(&ops::unary("log", &s)?, (classes - 0.5) as f32)?;
    let whole = add(&whole, &ops::unary("stirling_rest", &s)?)?;
    let whole = add(&whole, &mul(&extra_sum, &ops::unary("digamma_rest", &s)?)?)?;
    let log_factorial: f64 = (2..logits.dims()[1]).map(|k| (k as f64).ln()).sum();
    let constant = 0.5 * (1.0 - classes) * std::f64::consts::TAU.ln() - log_factorial;
    plus(&sub(&whole, &row_sum(&each)?)?, constant as f32)
}

/// The mean of `losses` [N, 1] over the samples whose weight [N, 1] is above τ times the batch's largest: \[1\].
pub(super) fn engaged(losses: &Tensor, weight: &Tensor, engage: f64) -> Result<Tensor> {
    let n = losses.dims()[0];
    let column = ops::reshape(weight, [1, 1, n, 1])?;
    let window = Pool2dOptions { kernel: [n, 1], stride: [n, 1], padding: [0, 0] };
    let most = ops::reshape(&ops::max_pool2d(&column, window)?, [1, 1])?;
    let above = plus(&div(weight, &at_least(&most, 1e-30)?)?, -engage as f32)?;
    let above = ops::unary("relu", &above)?;
    // 1 where it is above 0, else 0
    let mask = ops::detach(&div(&above, &at_least(&above, 1e-30)?)?);
    let sum = ops::sum(&mul(&mask, losses)?, &[], false)?;
    let count = at_least(&ops::reshape(&ops::sum(&mask, &[], false)?, [1, 1])?, 1.0)?;
    ops::reshape(&div(&ops::reshape(&sum, [1, 1])?, &count)?, [1])
}
