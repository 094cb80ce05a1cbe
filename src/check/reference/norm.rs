//! Batch normalization, plain and normalized (NBN; Bao et al., 2024).
//!
//! x is \[N, C, …\]; a channel's mean and variance are over N and all axes after C.

use super::{Array, Attrs, OpInfo, expect, misfit};
use crate::error::Result;

pub(super) const BATCH_NORM: OpInfo = OpInfo {
    name: "batch_norm",
    inputs: &["input", "running_mean", "running_var", "weight", "bias"],
    required: 3,
    attrs: &["training", "momentum", "eps"],
    outputs: &["output", "running_mean", "running_var"],
    fixed: &[1, 2],
    forward: batch_norm,
    backward: batch_norm_backward,
};

pub(super) const NORMALIZED_BATCH_NORM: OpInfo = OpInfo {
    name: "normalized_batch_norm",
    inputs: &["input", "running_mean", "running_var", "gamma", "beta", "alpha"],
    required: 6,
    attrs: &["training", "momentum", "eps", "norm_eps"],
    outputs: &["output", "running_mean", "running_var"],
    fixed: &[1, 2],
    forward: normalized_batch_norm,
    backward: normalized_batch_norm_backward,
};

/// The normalized input and what made it.
struct Normalized {
    /// x̂
    hat: Vec<f64>,
    /// 1/√(variance + eps) of each channel
    inv: Vec<f64>,
    running_mean: Array,
    running_var: Array,
    channels: usize,
    /// Elements between one channel and the next.
    plane: usize,
    training: bool,
}

impl Normalized {
    fn channel(&self, i: usize) -> usize {
        i / self.plane % self.channels
    }

    /// Σ over the channel of f(element).
    fn sums(&self, f: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        for i in 0..self.hat.len() {
            sums[self.channel(i)] += f(i);
        }
        sums
    }
}

/// x̂ = (x − m)/√(v + eps). Training: m and v are the batch's mean and biased variance, and the
/// running statistics become (1 − momentum)·old + momentum·new, the variance unbiased there.
/// Otherwise m and v are the running statistics, which stay.
fn normalize(a: &Attrs<'_>, inputs: &[Array]) -> Result<Normalized> {
    let x = &inputs[0];
    let [_, channels, ..] = x.shape[..] else {
        return Err(misfit(a.op, format!("input must be [N, C, …], but is {:?}", x.shape)));
    };
    expect(a.op, "running_mean", &inputs[1], &[channels])?;
    expect(a.op, "running_var", &inputs[2], &[channels])?;
    let training = a.flag("training", false)?;
    let (momentum, eps) = (a.number("momentum", 0.1)?, a.number("eps", 1e-5)?);
    let count = x.len() / channels;
    if training && count < 2 {
        let text = format!("training needs more than one value a channel: {:?}", x.shape);
        return Err(misfit(a.op, text));
    }
    let plane = x.shape[2..].iter().product();
    let mut made = Normalized {
        hat: x.data.clone(),
        inv: Vec::new(),
        running_mean: inputs[1].clone(),
        running_var: inputs[2].clone(),
        channels,
        plane,
        training,
    };
    let (mut mean, mut var) = (inputs[1].data.clone(), inputs[2].data.clone());
    if training {
        let n = count as f64;
        mean = made.sums(|i| x.data[i]).iter().map(|s| s / n).collect();
        let squares = made.sums(|i| (x.data[i] - mean[made.channel(i)]).powi(2));
        var = squares.iter().map(|s| s / n).collect();
        for c in 0..channels {
            let (m, v) = (&mut made.running_mean.data[c], &mut made.running_var.data[c]);
            *m = (1.0 - momentum) * *m + momentum * mean[c];
            *v = (1.0 - momentum) * *v + momentum * squares[c] / (n - 1.0);
        }
    }
    made.inv = var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    for (i, v) in x.data.iter().enumerate() {
        let c = made.channel(i);
        made.hat[i] = (v - mean[c]) * made.inv[c];
    }
    Ok(made)
}

/// y = w·x̂ + b, and the running statistics.
fn affine(x: &Array, n: Normalized, w: &[f64], b: &[f64]) -> Vec<Array> {
    let y = n.hat.iter().enumerate().map(|(i, h)| w[n.channel(i)] * h + b[n.channel(i)]);
    vec![Array::new(x.shape.clone(), y.collect()), n.running_mean, n.running_var]
}

/// u_w = Σ dy·x̂ and u_b = Σ dy over the channel; in training
/// dx = (w/σ)·(dy − mean(dy) − x̂·mean(dy·x̂)), otherwise dx = (w/σ)·dy.
fn affine_backward(n: &Normalized, w: &[f64], dy: &Array) -> (Array, Vec<f64>, Vec<f64>) {
    let u_w = n.sums(|i| dy.data[i] * n.hat[i]);
    let u_b = n.sums(|i| dy.data[i]);
    let count = (dy.len() / n.channels) as f64;
    let mut dx = dy.zeros_like();
    for (i, v) in dx.data.iter_mut().enumerate() {
        let c = n.channel(i);
        let shared = if n.training { (u_b[c] + n.hat[i] * u_w[c]) / count } else { 0.0 };
        *v = w[c] * n.inv[c] * (dy.data[i] - shared);
    }
    (dx, u_w, u_b)
}

/// Weight and bias: the inputs 3 and 4, or 1 and 0 when neither is given.
fn plain(a: &Attrs<'_>, inputs: &[Array], channels: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    match &inputs[3..] {
        [] => Ok((vec![1.0; channels], vec![0.0; channels])),
        [weight, bias] => {
            expect(a.op, "weight", weight, &[channels])?;
            expect(a.op, "bias", bias, &[channels])?;
            Ok((weight.data.clone(), bias.data.clone()))
        }
        _ => Err(misfit(a.op, "weight and bias come together or not at all")),
    }
}

/// y = weight·x̂ + bias (or x̂ alone), then the running statistics after the step.
fn batch_norm(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let n = normalize(a, inputs)?;
    let (w, b) = plain(a, inputs, n.channels)?;
    Ok(affine(&inputs[0], n, &w, &b))
}

/// dx as for any affine map of x̂; dweight = Σ dy·x̂, dbias = Σ dy.
fn batch_norm_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let n = normalize(a, inputs)?;
    let (w, _) = plain(a, inputs, n.channels)?;
    let (dx, u_w, u_b) = affine_backward(&n, &w, dy);
    let mut found = vec![Some(dx), None, None];
    if inputs.len() > 3 {
        let vector = |u| Some(Array::new([n.channels], u));
        found.extend([vector(u_w), vector(u_b)]);
    }
    Ok(found)
}

/// ‖v‖₂
fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// γ, β and α of an NBN layer.
struct Unit<'a> {
    gamma: &'a [f64],
    beta: &'a [f64],
    alpha: f64,
    eps: f64,
}

fn unit<'a>(a: &Attrs<'_>, inputs: &'a [Array], channels: usize) -> Result<Unit<'a>> {
    expect(a.op, "gamma", &inputs[3], &[channels])?;
    expect(a.op, "beta", &inputs[4], &[channels])?;
    if inputs[5].shape.len() > 1 {
        let text = format!("alpha must be a scalar or a vector, but is {:?}", inputs[5].shape);
        return Err(misfit(a.op, text));
    }
    let (gamma, beta, alpha) = (&inputs[3].data, &inputs[4].data, inputs[5].data[0]);
    Ok(Unit { gamma, beta, alpha, eps: a.number("norm_eps", 1e-6)? })
}

impl Unit<'_> {
    /// α·v/(‖v‖ + ε)
    fn scaled(&self, v: &[f64]) -> Vec<f64> {
        let r = norm(v) + self.eps;
        v.iter().map(|x| self.alpha * x / r).collect()
    }

    /// For out = α·v/(n + ε), n = ‖v‖, given u = ∂L/∂out:
    /// dv = α/(n+ε)·\[u − (v·u)·v/(n·(n+ε))\], at n = 0 dv = (α/ε)·u; and v·u/(n+ε), its share of dα.
    fn backward(&self, v: &[f64], u: &[f64]) -> (Array, f64) {
        let n = norm(v);
        let r = n + self.eps;
        let vu: f64 = v.iter().zip(u).map(|(v, u)| v * u).sum();
        let along = if n == 0.0 { 0.0 } else { vu / (n * r) };
        let dv = v.iter().zip(u).map(|(v, u)| self.alpha / r * (u - along * v));
        (Array::new([v.len()], dv.collect()), vu / r)
    }
}

/// What a vector v of NBN gets back: dv and its share of dα, given u = ∂L/∂out for
/// out = α·v/(‖v‖ + ε).
pub fn unit_gradient(v: &[f64], u: &[f64], alpha: f64, eps: f64) -> (Array, f64) {
    Unit { gamma: v, beta: v, alpha, eps }.backward(v, u)
}

/// y = w·x̂ + b with w = α·γ/(‖γ‖₂ + ε) and b = α·β/(‖β‖₂ + ε), then the running statistics. ε is
/// `norm_eps`; α is entry 0 of its vector.
fn normalized_batch_norm(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let n = normalize(a, inputs)?;
    let unit = unit(a, inputs, n.channels)?;
    let (w, b) = (unit.scaled(unit.gamma), unit.scaled(unit.beta));
    Ok(affine(&inputs[0], n, &w, &b))
}

/// dx as for any affine map of x̂; γ and β through their norms; dα\[0\] = the sum of both shares,
/// the other entries of α 0.
fn normalized_batch_norm_backward(
    a: &Attrs<'_>,
    inputs: &[Array],
    dy: &Array,
) -> Result<Vec<Option<Array>>> {
    let n = normalize(a, inputs)?;
    let unit = unit(a, inputs, n.channels)?;
    let (dx, u_w, u_b) = affine_backward(&n, &unit.scaled(unit.gamma), dy);
    let (dgamma, from_gamma) = unit.backward(unit.gamma, &u_w);
    let (dbeta, from_beta) = unit.backward(unit.beta, &u_b);
    let mut dalpha = inputs[5].zeros_like();
    dalpha.data[0] = from_gamma + from_beta;
    Ok(vec![Some(dx), None, None, Some(dgamma), Some(dbeta), Some(dalpha)])
}
