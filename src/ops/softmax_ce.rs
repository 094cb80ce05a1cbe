//! Softmax, log-softmax, and cross-entropy fused with its gradient.
//!
//! z = logits + offsets; p = softmax(z) by log-sum-exp; the row's loss with smoothing s and class
//! weights v is (1−s)·v_t·(−log p_t) + (s/C)·Σ_j v_j·(−log p_j); the mean divides by Σ v_t, as
//! `torch.nn.functional.cross_entropy` does.

use super::{binary, dims, expect, misfit};
use crate::error::{Error, Result};
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::softmax_ce::{self as kernels, SoftmaxCe};
use evenkeel_kernels::{Caps, Program};

/// Options of the loss.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy<'a> {
    /// Weight of each class [C].
    pub weights: Option<&'a Tensor>,
    /// Added to every row of logits [C] (logit adjustment, balanced softmax).
    pub offsets: Option<&'a Tensor>,
    /// Share of the target spread over all classes, in 0..1.
    pub label_smoothing: f32,
}

/// What the fused kernel yields.
pub struct CrossEntropyOutputs {
    /// The mean loss [1].
    pub loss: Tensor,
    /// Each row's loss [N], before division by the weights' sum.
    pub rows: Tensor,
}

#[derive(Debug)]
struct FusedCrossEntropy(SoftmaxCe);

/// Mean cross-entropy of `logits` [N, C] against `labels` [N] (integers below C): [1].
///
/// # Errors
/// Extents that do not fit, labels that are not integers.
pub fn cross_entropy(
    logits: &Tensor,
    labels: &Tensor,
    options: &CrossEntropy<'_>,
) -> Result<Tensor> {
    cross_entropy_full(logits, labels, options).map(|o| o.loss)
}

/// As [`cross_entropy`], with each row's loss beside the mean.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_full(
    logits: &Tensor,
    labels: &Tensor,
    options: &CrossEntropy<'_>,
) -> Result<CrossEntropyOutputs> {
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
    if !(0.0..1.0).contains(&options.label_smoothing) {
        let message = format!("label smoothing {} is not in 0..1", options.label_smoothing);
        return Err(misfit("cross_entropy", message));
    }
    let shape = SoftmaxCe {
        n: n as u32,
        classes: c as u32,
        label_smoothing: options.label_smoothing,
        class_weights: options.weights.is_some(),
        offsets: options.offsets.is_some(),
    };
    let inputs =
        [logits, labels].into_iter().chain(options.weights).chain(options.offsets).cloned();
    let outputs = [
        (Shape::from([1]), DType::F32),
        (Shape::from([n, c]), DType::F32),
        (Shape::from([n]), DType::F32),
    ];
    let op = FusedCrossEntropy(shape);
    let [loss, _, rows] = Tensor::record(logits.gpu(), op, inputs.collect(), outputs);
    Ok(CrossEntropyOutputs { loss, rows })
}

impl Op for FusedCrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        kernels::forward_backward(&self.0, caps)
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        if gradients.outputs[1].is_some() || gradients.outputs[2].is_some() {
            return Err(Error::Failure("only cross_entropy's mean has a gradient".into()));
        }
        let mut found = vec![None; node.inputs.len()];
        if let Some(g) = gradients.first() {
            let dlogits = &gradients.values[1];
            // The forward kernel has made d loss / d logits; a coefficient other than 1 scales it.
            found[0] = Some(match g.constant() {
                Some(1.0) => dlogits.clone(),
                _ => binary("mul", dlogits, g)?,
            });
        }
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
