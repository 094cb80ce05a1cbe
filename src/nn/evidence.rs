//! Several experts' logits as evidence (TLC, Li et al., CVPR 2022): how much each sample still needs an expert,
//! and the logits that come of it.
//!
//! α = e^z + 1 are the parameters of a Dirichlet distribution, S their sum, u = C/S the uncertainty, b = e^z/S the
//! belief. By Dempster and Shafer, w_1 = 1 and w_{e+1} = w_e·u_e/(1 − K_e), K_e = Σ_{i≠j} b_{e−1,i} b_{e,j} the
//! conflict with the expert before (0 for the first). The logits are Σ_e z_e·softmax_e(w_e/η).
//!
//! The authors' code divides exp(w_e/η) by its sum over the batch, so that a sample's logits would depend on the
//! others'; here the sum is over the experts.

use crate::error::{Error, Result};
use crate::ops;
use crate::tensor::Tensor;

/// η
const TEMPERATURE: f32 = 0.2;

/// w_e [N, 1] of each expert, held fixed, from their logits [N, C].
///
/// # Errors
/// No experts, or logits of different shapes.
pub fn weights(each: &[Tensor]) -> Result<Vec<Tensor>> {
    let Some(first) = each.first() else {
        return Err(Error::Shape { op: "evidence", message: "no experts".into() });
    };
    let (gpu, [n, classes]) = (first.gpu(), [first.dims()[0], first.dims()[1]]);
    let mul = |a: &Tensor, b: &Tensor| ops::binary("mul", a, b);
    let add = |a: &Tensor, b: &Tensor| ops::binary("add", a, b);
    let all = ops::fill(gpu, [1, 1], classes as f32);
    let mut found = vec![ops::fill(gpu, [n, 1], 1.0)];
    let mut before: Option<(Tensor, Tensor)> = None;
    for z in &each[..each.len() - 1] {
        let evidence = ops::unary("exp", &ops::detach(z))?;
        let s = add(&ops::sum(&evidence, &[1], true)?, &all)?;
        let (u, b) = (ops::binary("div", &all, &s)?, ops::binary("div", &evidence, &s)?);
        let w = mul(&found[found.len() - 1], &u)?;
        // 1 − K = u' + u − u'·u + Σ_i b'_i b_i, as Σ_i b_i = 1 − u: no 1 minus nearly 1.
        found.push(match &before {
            None => w,
            Some((other, beliefs)) => {
                let either = ops::binary("sub", &add(other, &u)?, &mul(other, &u)?)?;
                let common = ops::sum(&mul(beliefs, &b)?, &[1], true)?;
                ops::binary("div", &w, &add(&either, &common)?)?
            }
        });
        before = Some((u, b));
    }
    Ok(found)
}

/// Σ_e z_e·softmax_e(w_e/η): [N, C].
///
/// # Errors
/// As [`weights`].
pub fn combine(each: &[Tensor]) -> Result<Tensor> {
    let weights = weights(each)?;
    // Weights are at most 1 but for conflict, so e^(w/η) stays small.
    let share = |w: &Tensor| {
        let factor = ops::fill(w.gpu(), [1, 1], 1.0 / TEMPERATURE);
        ops::unary("exp", &ops::binary("mul", w, &factor)?)
    };
    let shares: Vec<Tensor> = weights.iter().map(share).collect::<Result<_>>()?;
    let parts: Vec<Tensor> = each
        .iter()
        .zip(&shares)
        .map(|(z, share)| ops::binary("mul", z, share))
        .collect::<Result<_>>()?;
    ops::binary("div", &ops::sum_of(&parts)?, &ops::sum_of(&shares)?)
}
