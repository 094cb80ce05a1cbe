//! The public ops on the device, by name: what a golden file or a case asks for, computed by the
//! engine's own ops, kernels and gradients.

use super::reference::attrs::Attrs;
use super::reference::{Array, check_inputs, op};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::{evaluate, vjp};
use crate::ops::{self, Affine, Conv2dOptions, CrossEntropy, Normalization, Pool2dOptions};
use crate::tensor::{DType, Tensor};
use serde_json::Value;
use std::rc::Rc;

/// What the device computed.
pub struct Computed {
    /// The outputs.
    pub outputs: Vec<Array>,
    /// The gradient of each input, where it has one and one was asked for.
    pub grads: Vec<Option<Array>>,
}

/// How an op stands in its graph when its gradient is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Its output is the end: the gradient of the output is given.
    End,
    /// In the middle, its output used twice with coefficients: the loss is
    /// Σ (2·g)·y − Σ g·y, so a backward that forgets its output's gradient, or counts one use only,
    /// is found out. The result is the same as at the end.
    Middle,
}

/// An op recorded on a device, with its gradients: nothing computed yet.
pub struct Traced {
    /// The outputs, then the gradients there are.
    pub wanted: Vec<Tensor>,
    /// How many of these are outputs.
    pub outputs: usize,
    /// Where in `wanted` each input's gradient is.
    slots: Vec<Option<usize>>,
}

/// Computes `op` on the device, and its gradients given that of output 0.
///
/// # Errors
/// An op or attribute that is unknown or not supported, by name; what the device reports.
pub fn run(
    gpu: &Rc<Gpu>,
    name: &str,
    attrs: &Value,
    inputs: &[Array],
    grad_out: Option<(&Array, Place)>,
) -> Result<Computed> {
    let Traced { wanted, outputs, slots } = trace(gpu, name, attrs, inputs, grad_out)?;
    let refs: Vec<&Tensor> = wanted.iter().collect();
    let words = evaluate(&refs)?;
    let mut arrays: Vec<Array> = wanted
        .iter()
        .zip(words)
        .map(|(t, w)| {
            let data = w.into_iter().map(|v| f64::from(f32::from_bits(v))).collect();
            Array::new(t.dims().to_vec(), data)
        })
        .collect();
    let grads = slots.iter().map(|s| s.map(|i: usize| arrays[i].clone())).collect();
    arrays.truncate(outputs);
    Ok(Computed { outputs: arrays, grads })
}

/// Records what [`run`] computes.
///
/// # Errors
/// As [`run`].
pub fn trace(
    gpu: &Rc<Gpu>,
    name: &str,
    attrs: &Value,
    inputs: &[Array],
    grad_out: Option<(&Array, Place)>,
) -> Result<Traced> {
    let info = op(name)?;
    let attrs = Attrs::new(info.name, info.attrs, attrs)?;
    check_inputs(info, inputs)?;
    let mut tensors = Vec::new();
    for (i, x) in inputs.iter().enumerate() {
        tensors.push(upload(gpu, x, name == "cross_entropy" && i == 1)?);
    }
    let outputs = apply(info.name, &attrs, &tensors)?;
    let mut wanted: Vec<Tensor> = outputs.clone();
    let mut slots = vec![None; inputs.len()];
    if let Some((g, place)) = grad_out {
        let g = ops::reshape(&upload(gpu, g, false)?, outputs[0].shape().clone())?;
        let (y, seed) = match place {
            Place::End => (outputs[0].clone(), g),
            Place::Middle => {
                let twice = ops::binary("mul", &outputs[0], &ops::binary("add", &g, &g)?)?;
                let once = ops::binary("mul", &outputs[0], &g)?;
                let loss = ops::sum(&ops::binary("sub", &twice, &once)?, &[], false)?;
                let one = ops::fill(gpu, loss.shape().clone(), 1.0);
                (loss, one)
            }
        };
        let targets: Vec<&Tensor> = tensors.iter().collect();
        for (i, found) in vjp(&[(y, seed)], &targets)?.into_iter().enumerate() {
            if let Some(found) = found.filter(|_| !info.fixed.contains(&i)) {
                slots[i] = Some(wanted.len());
                wanted.push(found);
            }
        }
    }
    Ok(Traced { wanted, outputs: outputs.len(), slots })
}

fn upload(gpu: &Rc<Gpu>, x: &Array, integers: bool) -> Result<Tensor> {
    if integers {
        // A label outside the classes must reach the kernel as one, not wrap to a valid one.
        let data: Vec<u32> =
            x.data.iter().map(|v| if *v < 0.0 { u32::MAX } else { *v as u32 }).collect();
        return Tensor::integers(gpu, &data, x.shape.clone());
    }
    let data: Vec<f32> = x.data.iter().map(|v| *v as f32).collect();
    Tensor::new(gpu, &data, x.shape.clone())
}

fn apply(name: &'static str, attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Vec<Tensor>> {
    let one = |t: Result<Tensor>| t.map(|t| vec![t]);
    match name {
        "conv2d" => one(conv2d(attrs, x)),
        "linear" => one(ops::linear(&x[0], &x[1], x.get(2))),
        "matmul" => one(ops::matmul(&x[0], &x[1])),
        "batch_norm" | "normalized_batch_norm" => batch_norm(name, attrs, x),
        "add" | "sub" | "mul" | "div" | "maximum" => one(ops::binary(name, &x[0], &x[1])),
        "max_pool2d" | "avg_pool2d" => one(pool(name, attrs, x)),
        "global_avg_pool" => one(ops::global_avg_pool(&x[0])),
        "softmax" | "log_softmax" => one(softmax(name, attrs, x)),
        "cross_entropy" => one(cross_entropy(attrs, x)),
        "sum" | "mean" => one(reduction(name, attrs, x)),
        "reshape" => one(reshape(attrs, x)),
        "rows" => {
            let (first, count) = (attrs.size("first", 0)?, attrs.required_size("count")?);
            one(ops::rows(&x[0], first, count))
        }
        "shortcut_a" => {
            let planes = attrs.required_size("planes")?;
            one(ops::shortcut_a(&x[0], planes, attrs.size("stride", 2)?))
        }
        unary => one(ops::unary(unary, &x[0])),
    }
}

fn conv2d(attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Tensor> {
    let options = Conv2dOptions {
        stride: attrs.positive_pair("stride", [1, 1])?,
        padding: attrs.pair("padding", [0, 0])?,
        dilation: attrs.positive_pair("dilation", [1, 1])?,
        groups: attrs.size("groups", 1)?,
    };
    let y = ops::conv2d(&x[0], &x[1], options)?;
    match x.get(2) {
        Some(bias) => {
            let channels = bias.shape().len();
            ops::binary("add", &y, &ops::reshape(bias, [1, channels, 1, 1])?)
        }
        None => Ok(y),
    }
}

fn batch_norm(name: &str, attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Vec<Tensor>> {
    let affine = match (name, x.len()) {
        ("normalized_batch_norm", _) => Affine::Normalized {
            gamma: &x[3],
            beta: &x[4],
            alpha: &x[5],
            eps: attrs.number("norm_eps", 1e-6)? as f32,
        },
        (_, 5) => Affine::Plain { weight: &x[3], bias: &x[4] },
        (_, 3) => Affine::None,
        _ => {
            return Err(Error::usage("batch_norm takes weight and bias together on the device"));
        }
    };
    let eps = attrs.number("eps", 1e-5)? as f32;
    let norm = Normalization { affine, eps, residual: None, relu: false, synced: false };
    if !attrs.flag("training", false)? {
        let y = ops::batch_norm_eval(&x[0], &x[1], &x[2], &norm)?;
        return Ok(vec![y, x[1].clone(), x[2].clone()]);
    }
    let m = attrs.number("momentum", 0.1)? as f32;
    let made = ops::batch_norm_train(&x[0], &norm)?;
    // running ← (1 − m)·running + m·batch
    let update = |running: &Tensor, batch: &Tensor| -> Result<Tensor> {
        let gpu = running.gpu();
        let kept = ops::binary("mul", running, &ops::fill(gpu, [1], 1.0 - m))?;
        ops::binary("add", &kept, &ops::binary("mul", batch, &ops::fill(gpu, [1], m))?)
    };
    let (mean, variance) = (update(&x[1], &made.mean)?, update(&x[2], &made.variance)?);
    Ok(vec![made.y, mean, variance])
}

fn pool(name: &str, attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Tensor> {
    attrs.present("kernel_size")?;
    let kernel = attrs.positive_pair("kernel_size", [1, 1])?;
    if attrs.positive_pair("dilation", [1, 1])? != [1, 1] {
        return Err(unsupported(name, "dilation", "1"));
    }
    if attrs.flag("ceil_mode", false)? {
        return Err(unsupported(name, "ceil_mode", "false"));
    }
    if !attrs.flag("count_include_pad", true)? {
        return Err(unsupported(name, "count_include_pad", "true"));
    }
    let options = Pool2dOptions {
        kernel,
        stride: attrs.positive_pair("stride", kernel)?,
        padding: attrs.pair("padding", [0, 0])?,
    };
    match name {
        "max_pool2d" => ops::max_pool2d(&x[0], options),
        _ => ops::avg_pool2d(&x[0], options),
    }
}

fn unsupported(op: &str, attr: &str, only: &str) -> Error {
    Error::usage(format!("{op}: attribute `{attr}` is supported on the device only as {only}"))
}

fn softmax(name: &str, attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Tensor> {
    let rank = x[0].dims().len();
    attrs.present("dim")?;
    if attrs.axes("dim", rank)?.as_deref() != Some(&[rank.saturating_sub(1)]) {
        return Err(unsupported(name, "dim", "the last axis"));
    }
    let columns = x[0].dims()[rank - 1];
    let rows = ops::reshape(&x[0], [x[0].shape().len() / columns, columns])?;
    let y = if name == "softmax" { ops::softmax(&rows)? } else { ops::log_softmax(&rows)? };
    ops::reshape(&y, x[0].shape().clone())
}

fn cross_entropy(attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Tensor> {
    let options = CrossEntropy {
        weights: x.get(2),
        offsets: x.get(3),
        label_smoothing: attrs.number("label_smoothing", 0.0)? as f32,
    };
    if x[1].dtype() != DType::U32 {
        return Err(Error::usage("cross_entropy: the target must be integers (class indices)"));
    }
    match attrs.word("reduction", &["mean", "sum", "none"])? {
        "mean" => ops::reshape(&ops::cross_entropy(&x[0], &x[1], &options)?, Vec::new()),
        "sum" => ops::sum(&ops::cross_entropy_rows(&x[0], &x[1], &options)?, &[], false),
        _ => ops::cross_entropy_rows(&x[0], &x[1], &options),
    }
}

fn reduction(name: &str, attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Tensor> {
    let rank = x[0].dims().len();
    let axes = attrs.axes("dim", rank)?.unwrap_or_default();
    let keepdim = attrs.flag("keepdim", false)?;
    match name {
        "sum" => ops::sum(&x[0], &axes, keepdim),
        _ => ops::mean(&x[0], &axes, keepdim),
    }
}

fn reshape(attrs: &Attrs<'_>, x: &[Tensor]) -> Result<Tensor> {
    attrs.present("shape")?;
    let given = attrs.integers("shape")?.unwrap_or_default();
    let known: i64 = given.iter().filter(|d| **d >= 0).product();
    let open = given.iter().filter(|d| **d < 0).count();
    let len = x[0].shape().len();
    let free = if known > 0 { len / known as usize } else { 0 };
    if open > 1 || given.iter().any(|d| *d < -1) {
        return Err(Error::usage("reshape: at most one extent of `shape` may be -1"));
    }
    let shape: Vec<usize> = given.iter().map(|d| if *d < 0 { free } else { *d as usize }).collect();
    ops::reshape(&x[0], shape)
}
