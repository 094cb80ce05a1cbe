//! Softmax, its logarithm, and cross-entropy.

use super::{Array, Attrs, OpInfo, dims, expect, misfit};
use crate::error::{Error, Result};

pub(super) const SOFTMAX: OpInfo = OpInfo {
    name: "softmax",
    inputs: &["input"],
    required: 1,
    attrs: &["dim"],
    outputs: &["output"],
    fixed: &[],
    forward: softmax,
    backward: softmax_backward,
};

pub(super) const LOG_SOFTMAX: OpInfo =
    OpInfo { name: "log_softmax", forward: log_softmax, backward: log_softmax_backward, ..SOFTMAX };

pub(super) const CROSS_ENTROPY: OpInfo = OpInfo {
    name: "cross_entropy",
    inputs: &["input", "target", "weight", "logit_offset"],
    required: 2,
    attrs: &["label_smoothing", "reduction"],
    outputs: &["output"],
    fixed: &[1, 2, 3],
    forward: cross_entropy,
    backward: cross_entropy_backward,
};

/// log p = z − max − log Σ exp(z − max). −∞ among finite logits gives −∞; +∞ gives NaN, as does a
/// row of nothing but −∞.
fn log_probabilities(z: &[f64]) -> Vec<f64> {
    let max = z.iter().fold(f64::NEG_INFINITY, |m, v| if *v > m || v.is_nan() { *v } else { m });
    let log_sum = z.iter().map(|v| (v - max).exp()).sum::<f64>().ln();
    z.iter().map(|v| v - max - log_sum).collect()
}

/// Applies `f(x, dy)` to every line of x (and dy) along the axis `dim` (the last when absent).
fn lines(
    a: &Attrs<'_>,
    x: &Array,
    dy: Option<&Array>,
    f: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) -> Result<Array> {
    let rank = x.shape.len();
    let axis = match a.axes("dim", rank)?.as_deref() {
        None if rank > 0 => rank - 1,
        Some([axis]) => *axis,
        _ => return Err(misfit(a.op, format!("needs one axis of {:?}", x.shape))),
    };
    let len = x.shape[axis];
    let inner: usize = x.shape[axis + 1..].iter().product();
    let mut out = x.zeros_like();
    for line in 0..x.len() / len {
        let start = line / inner * len * inner + line % inner;
        let read = |from: &Array| (0..len).map(|k| from.data[start + k * inner]).collect();
        let x: Vec<f64> = read(x);
        let dy: Vec<f64> = dy.map(read).unwrap_or_default();
        for (k, v) in f(&x, &dy).into_iter().enumerate() {
            out.data[start + k * inner] = v;
        }
    }
    Ok(out)
}

fn exp(v: Vec<f64>) -> Vec<f64> {
    v.into_iter().map(f64::exp).collect()
}

/// p = exp(z − max) / Σ exp(z − max) along `dim`.
fn softmax(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    Ok(vec![lines(a, &inputs[0], None, |z, _| exp(log_probabilities(z)))?])
}

/// dz = p·(dy − Σ dy·p).
fn softmax_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let dz = lines(a, &inputs[0], Some(dy), |z, dy| {
        let p = exp(log_probabilities(z));
        let dot: f64 = p.iter().zip(dy).map(|(p, g)| p * g).sum();
        p.iter().zip(dy).map(|(p, g)| p * (g - dot)).collect()
    })?;
    Ok(vec![Some(dz)])
}

/// y = log p along `dim`.
fn log_softmax(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    Ok(vec![lines(a, &inputs[0], None, |z, _| log_probabilities(z))?])
}

/// dz = dy − p·Σ dy.
fn log_softmax_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let dz = lines(a, &inputs[0], Some(dy), |z, dy| {
        let total: f64 = dy.iter().sum();
        let p = exp(log_probabilities(z));
        p.iter().zip(dy).map(|(p, g)| g - p * total).collect()
    })?;
    Ok(vec![Some(dz)])
}

/// What a cross-entropy is about.
struct Rows {
    classes: usize,
    targets: Vec<usize>,
    /// v, one a class
    weights: Vec<f64>,
    smoothing: f64,
    reduction: &'static str,
    /// log p, row by row
    log_p: Vec<Vec<f64>>,
}

fn rows(a: &Attrs<'_>, inputs: &[Array]) -> Result<Rows> {
    let [n, classes] = dims(a.op, "input", &inputs[0])?;
    expect(a.op, "target", &inputs[1], &[n])?;
    for (what, x) in ["weight", "logit_offset"].into_iter().zip(inputs.iter().skip(2)) {
        expect(a.op, what, x, &[classes])?;
    }
    let smoothing = a.number("label_smoothing", 0.0)?;
    if !(0.0..=1.0).contains(&smoothing) {
        let text = format!("{}: `label_smoothing` {smoothing} is not between 0 and 1", a.op);
        return Err(Error::Usage(text));
    }
    let mut targets = Vec::new();
    for (i, t) in inputs[1].data.iter().enumerate() {
        if t.fract() != 0.0 || !(0.0..classes as f64).contains(t) {
            let text = format!("target {t} at position {i} is not a class from 0 to {classes} − 1");
            return Err(misfit(a.op, text));
        }
        targets.push(*t as usize);
    }
    let log_p = inputs[0].data.chunks(classes).map(|z| match inputs.get(3) {
        Some(o) => {
            log_probabilities(&z.iter().zip(&o.data).map(|(z, o)| z + o).collect::<Vec<_>>())
        }
        None => log_probabilities(z),
    });
    Ok(Rows {
        classes,
        targets,
        weights: inputs.get(2).map_or_else(|| vec![1.0; classes], |w| w.data.clone()),
        smoothing,
        reduction: a.word("reduction", &["mean", "sum", "none"])?,
        log_p: log_p.collect(),
    })
}

impl Rows {
    /// What the mean divides by: Σ v_t over the rows.
    fn total(&self) -> f64 {
        self.targets.iter().map(|t| self.weights[*t]).sum()
    }
}

/// With z = input + logit_offset, p = softmax(z), s = `label_smoothing` and class weights v, a row's
/// loss is (1−s)·v_t·(−log p_t) + (s/C)·Σ_j v_j·(−log p_j); `mean` divides the sum by Σ v_t.
fn cross_entropy(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let r = rows(a, inputs)?;
    let loss = r.log_p.iter().zip(&r.targets).map(|(log_p, t)| {
        let hard = -r.weights[*t] * log_p[*t];
        if r.smoothing == 0.0 {
            return hard;
        }
        let all: f64 = log_p.iter().zip(&r.weights).map(|(l, v)| -v * l).sum();
        (1.0 - r.smoothing) * hard + r.smoothing / r.classes as f64 * all
    });
    let loss: Vec<f64> = loss.collect();
    let sum: f64 = loss.iter().sum();
    Ok(vec![match r.reduction {
        "mean" => Array::scalar(sum / r.total()),
        "sum" => Array::scalar(sum),
        _ => Array::new([loss.len()], loss),
    }])
}

/// dz_j = g·\[(1−s)·v_t·(p_j − \[j = t\]) + (s/C)·(p_j·Σv − v_j)\], g being the row's share of the
/// loss's gradient.
fn cross_entropy_backward(
    a: &Attrs<'_>,
    inputs: &[Array],
    dy: &Array,
) -> Result<Vec<Option<Array>>> {
    let r = rows(a, inputs)?;
    let all: f64 = r.weights.iter().sum();
    let soft = r.smoothing / r.classes as f64;
    let mut dz = Vec::new();
    for (i, (log_p, t)) in r.log_p.iter().zip(&r.targets).enumerate() {
        let g = match r.reduction {
            "mean" => dy.data[0] / r.total(),
            "sum" => dy.data[0],
            _ => dy.data[i],
        };
        for (j, l) in log_p.iter().enumerate() {
            let p = l.exp();
            let hit = if j == *t { 1.0 } else { 0.0 };
            let hard = (1.0 - r.smoothing) * r.weights[*t] * (p - hit);
            dz.push(g * (hard + soft * (p * all - r.weights[j])));
        }
    }
    let mut found = vec![None; inputs.len()];
    found[0] = Some(Array::new(inputs[0].shape.clone(), dz));
    Ok(found)
}
