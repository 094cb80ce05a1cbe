//! Softmax, log-softmax, and cross-entropy fused with its gradient.
//!
//! z = logits + offsets; p = softmax(z) by log-sum-exp; the row's loss with smoothing s and class
//! weights v is (1−s)·v_t·(−log p_t) + (s/C)·Σ_j v_j·(−log p_j); the mean divides by Σ v_t, as
//! `torch.nn.functional.cross_entropy` does.

use super::{binary, dims, expect, misfit, reshape};
use crate::error::{Error, Result};
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::softmax_ce::{self as kernels, SoftmaxCe};
use evenkeel_kernels::{Caps, Program};

/// Options of the loss.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy<'a> {
    /// Weight of each class \[C\].
    pub weights: Option<&'a Tensor>,
    /// Added to every row of logits \[C\] (logit adjustment, balanced softmax).
    pub offsets: Option<&'a Tensor>,
    /// Share of the target spread over all classes, in 0..1.
    pub label_smoothing: f32,
}

#[derive(Debug)]
struct FusedCrossEntropy(SoftmaxCe);

/// Mean cross-entropy of `logits` [N, C] against `labels` \[N\] (integers below C): \[1\].
///
/// # Errors
/// Extents that do not fit, labels that are not integers.
pub fn cross_entropy(
    logits: &Tensor,
    labels: &Tensor,
    options: &CrossEntropy<'_>,
) -> Result<Tensor> {
    let [loss, ..] = fused(logits, labels, options, true)?;
    Ok(loss)
}

/// The loss of each row \[N\], weighted but not divided.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_rows(
    logits: &Tensor,
    labels: &Tensor,
    options: &CrossEntropy<'_>,
) -> Result<Tensor> {
    let [_, _, rows] = fused(logits, labels, options, false)?;
    Ok(rows)
}

/// The loss, its gradient by the logits, and the rows.
fn fused(
    logits: &Tensor,
    labels: &Tensor,
    options: &CrossEntropy<'_>,
    mean: bool,
) -> Result<[Tensor; 3]> {
    let [n, c] = dims("cross_entropy", "the logits", logits)?;
    expect("cross_entropy", "the labels", labels, &[n])?;
    if labels.dtype() != DType::U32 {
        return Err(misfit("cross_entropy", "the labels must be integers"));
    }
    for (what, t) in [("the class weights", options.weights), ("the offsets", options.offsets)] {
        if let Some(t) = t {
            expect("cross_entropy", what, t, &[c])?;
        }
    }
    if !(0.0..=1.0).contains(&options.label_smoothing) {
        let message = format!("label smoothing {} is not in 0..1", options.label_smoothing);
        return Err(misfit("cross_entropy", message));
    }
    let shape = SoftmaxCe {
        n: n as u32,
        classes: c as u32,
        label_smoothing: options.label_smoothing,
        class_weights: options.weights.is_some(),
        offsets: options.offsets.is_some(),
        mean,
    };
    let inputs =
        [logits, labels].into_iter().chain(options.weights).chain(options.offsets).cloned();
    let outputs = [
        (Shape::from([1]), DType::F32),
        (Shape::from([n, c]), DType::F32),
        (Shape::from([n]), DType::F32),
    ];
    Ok(Tensor::record(logits.gpu(), FusedCrossEntropy(shape), inputs.collect(), outputs))
}

impl Op for FusedCrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        kernels::forward_backward(&self.0, caps)
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let mut found = vec![None; node.inputs.len()];
        // The forward kernel has made d loss / d logits: of the mean, or (for the rows) of their sum,
        // whose row i is d row i / d logits. The gradient given scales it.
        let dlogits = &gradients.values[1];
        let scale = match (self.0.mean, &gradients.outputs[0], &gradients.outputs[2]) {
            (true, Some(g), None) => g.clone(),
            (false, None, Some(g)) => reshape(g, [self.0.n as usize, 1])?,
            _ => return Err(Error::Failure("cross_entropy has one differentiable output".into())),
        };
        found[0] = Some(match scale.constant() {
            Some(1.0) => dlogits.clone(),
            _ => binary("mul", dlogits, &scale)?,
        });
        Ok(found)
    }
}

#[derive(Debug)]
struct Softmax {
    log: bool,
}

#[derive(Debug)]
struct SoftmaxBackward {
    log: bool,
}

/// Softmax over the last of two axes.
///
/// # Errors
/// An input without two axes.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    rows(x, Softmax { log: false })
}

/// Logarithm of the softmax over the last of two axes.
///
/// # Errors
/// An input without two axes.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    rows(x, Softmax { log: true })
}

fn rows(x: &Tensor, op: Softmax) -> Result<Tensor> {
    let name = op.name();
    let _: [usize; 2] = dims(name, "the input", x)?;
    let [y] = Tensor::record(x.gpu(), op, vec![x.clone()], [(x.shape().clone(), DType::F32)]);
    Ok(y)
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }
    fn program(&self, node: &Node, caps: &Caps) -> Program {
        let d = node.in32(0);
        match self.log {
            true => kernels::log_softmax_forward(d[0], d[1], caps),
            false => kernels::softmax_forward(d[0], d[1], caps),
        }
    }
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let Some(dy) = gradients.first() else { return Ok(vec![None]) };
        let x = &node.inputs[0];
        let inputs = vec![gradients.values[0].clone(), dy.clone()];
        let op = SoftmaxBackward { log: self.log };
        let [dx] = Tensor::record(x.gpu(), op, inputs, [(x.shape().clone(), DType::F32)]);
        Ok(vec![Some(dx)])
    }
}

impl Op for SoftmaxBackward {
    fn name(&self) -> &'static str {
        "softmax_backward"
    }
    fn program(&self, node: &Node, caps: &Caps) -> Program {
        let d = node.in32(0);
        match self.log {
            true => kernels::log_softmax_backward(d[0], d[1], caps),
            false => kernels::softmax_backward(d[0], d[1], caps),
        }
    }
    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Err(Error::Failure("the gradient of softmax has no gradient".into()))
    }
}
