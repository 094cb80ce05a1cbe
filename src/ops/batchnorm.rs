//! Batch normalization, plain and normalized (NBN), with the ReLU and residual sum that follow it in
//! a residual network done in the same pass.
//!
//! x̂ = (x − mean) / √(variance + eps) per channel over batch and plane (biased variance); then
//! y = w·x̂ + b with w = γ, b = β, or for NBN (Bao et al., 2024)
//! w = α·γ/(‖γ‖₂ + ε), b = α·β/(‖β‖₂ + ε), ε = 1e-6 outside the norm, one α for both.
//!
//! Gradients (u is the gradient of w or of b, n the norm of v = γ or β):
//! dv = α/(n+ε)·[u − (v·u)·v/(n·(n+ε))], at n = 0 dv = (α/ε)·u;
//! dα = Σ (γ·u_γ)/(‖γ‖+ε) + (β·u_β)/(‖β‖+ε).
//! With β = 0 at the start the first gradient is 10⁶·α·u: see `nn::norm` for what follows from it.

use super::{dims, expect, misfit};
use crate::error::{Error, Result};
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::batchnorm as kernels;
use evenkeel_kernels::{Caps, Program};

/// The affine map after the normalization.
#[derive(Clone, Copy, Debug)]
pub enum Affine<'a> {
    /// None: y = x̂ (Logit Rectification's layer).
    None,
    /// y = γ·x̂ + β, both \[C\].
    Plain {
        /// γ
        weight: &'a Tensor,
        /// β
        bias: &'a Tensor,
    },
    /// NBN: unit vectors of γ and β times entry 0 of α.
    Normalized {
        /// γ \[C\]
        gamma: &'a Tensor,
        /// β \[C\]
        beta: &'a Tensor,
        /// α, a vector whose entry 0 counts (the others get gradient 0)
        alpha: &'a Tensor,
        /// ε added outside the norms: 1e-6
        eps: f32,
    },
}

/// What surrounds the affine map.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// The affine map.
    pub affine: Affine<'a>,
    /// Added to the variance: 1e-5.
    pub eps: f32,
    /// Added to the output before the ReLU.
    pub residual: Option<&'a Tensor>,
    /// y = max(·, 0) at the end.
    pub relu: bool,
    /// In training, the statistics of all ranks' batches together (synchronized batch norm).
    pub synced: bool,
}

/// A training-mode result.
pub struct BatchNormed {
    /// The output, shaped as the input.
    pub y: Tensor,
    /// The batch's mean \[C\].
    pub mean: Tensor,
    /// The batch's unbiased variance \[C\], for the running statistics.
    pub variance: Tensor,
}

#[derive(Clone, Debug)]
struct Settings {
    shape: kernels::BatchNorm,
    train: bool,
}

#[derive(Debug)]
struct BatchNorm(Settings);

#[derive(Debug)]
struct BatchNormBackward(Settings);

/// Normalizes `x` [N, C] or [N, C, H, W] by its batch's statistics.
///
/// # Errors
/// Extents that do not fit, or one value a channel (no variance).
pub fn batch_norm_train(x: &Tensor, norm: &Normalization<'_>) -> Result<BatchNormed> {
    let shape = settings(x, norm)?;
    if shape.n * shape.hw < 2 {
        return Err(misfit(
            "batch_norm",
            format!("training needs more than one value a channel, but the input is {}", x.shape()),
        ));
    }
    let c = Shape::from([shape.c as usize]);
    let inputs = inputs(&[x], norm);
    let outputs = [
        (x.shape().clone(), DType::F32),
        (Shape::from([2, shape.c as usize]), DType::F32),
        (c.clone(), DType::F32),
        (c, DType::F32),
    ];
    let op = BatchNorm(Settings { shape, train: true });
    let [y, _saved, mean, variance] = Tensor::record(x.gpu(), op, inputs, outputs);
    Ok(BatchNormed { y, mean, variance })
}

/// Normalizes `x` by the running statistics, both \[C\]; they get no gradient.
///
/// # Errors
/// Extents that do not fit.
pub fn batch_norm_eval(
    x: &Tensor,
    running_mean: &Tensor,
    running_var: &Tensor,
    norm: &Normalization<'_>,
) -> Result<Tensor> {
    let shape = settings(x, norm)?;
    for (what, t) in [("running_mean", running_mean), ("running_var", running_var)] {
        expect("batch_norm", what, t, &[shape.c as usize])?;
    }
    let inputs = inputs(&[x, running_mean, running_var], norm);
    let op = BatchNorm(Settings { shape, train: false });
    let [y] = Tensor::record(x.gpu(), op, inputs, [(x.shape().clone(), DType::F32)]);
    Ok(y)
}

fn settings(x: &Tensor, norm: &Normalization<'_>) -> Result<kernels::BatchNorm> {
    let [n, c, h, w] = match x.dims().len() {
        2 => {
            let [n, c] = dims("batch_norm", "the input", x)?;
            [n, c, 1, 1]
        }
        _ => dims("batch_norm", "the input", x)?,
    };
    let (affine, alpha_len) = match norm.affine {
        Affine::None => (kernels::Affine::None, 0),
        Affine::Plain { weight, bias } => {
            expect("batch_norm", "the weight", weight, &[c])?;
            expect("batch_norm", "the bias", bias, &[c])?;
            (kernels::Affine::Plain, 0)
        }
        Affine::Normalized { gamma, beta, alpha, eps } => {
            expect("normalized_batch_norm", "gamma", gamma, &[c])?;
            expect("normalized_batch_norm", "beta", beta, &[c])?;
            if alpha.dims().len() > 1 || alpha.shape().is_empty() {
                let message = format!("alpha must be a vector, but its shape is {}", alpha.shape());
                return Err(misfit("normalized_batch_norm", message));
            }
            (kernels::Affine::Normalized { eps }, alpha.shape().len() as u32)
        }
    };
    if let Some(r) = norm.residual {
        expect("batch_norm", "the residual", r, x.dims())?;
    }
    Ok(kernels::BatchNorm {
        n: n as u32,
        c: c as u32,
        hw: (h * w) as u32,
        eps: norm.eps,
        affine,
        alpha_len,
        relu: norm.relu,
        residual: norm.residual.is_some(),
        synced: norm.synced,
    })
}

fn inputs(first: &[&Tensor], norm: &Normalization<'_>) -> Vec<Tensor> {
    let affine: Vec<&Tensor> = match norm.affine {
        Affine::None => vec![],
        Affine::Plain { weight, bias } => vec![weight, bias],
        Affine::Normalized { gamma, beta, alpha, .. } => vec![gamma, beta, alpha],
    };
    first.iter().copied().chain(affine).chain(norm.residual).cloned().collect()
}

/// How many parameter inputs the affine map has.
fn parameters(shape: &kernels::BatchNorm) -> usize {
    match shape.affine {
        kernels::Affine::None => 0,
        kernels::Affine::Plain => 2,
        kernels::Affine::Normalized { .. } => 3,
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        match self.0.shape.affine {
            kernels::Affine::Normalized { .. } => "normalized_batch_norm",
            _ => "batch_norm",
        }
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        if self.0.train {
            kernels::forward_train(&self.0.shape, caps)
        } else {
            kernels::forward_eval(&self.0.shape, caps)
        }
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let Settings { shape, train } = &self.0;
        if gradients.outputs.iter().skip(1).any(Option::is_some) {
            return Err(Error::Failure("the batch's statistics have no gradient".into()));
        }
        let Some(dy) = gradients.first() else { return Ok(vec![None; node.inputs.len()]) };
        let x = &node.inputs[0];
        let statistics = if *train { 0 } else { 2 };
        let affine = &node.inputs[1 + statistics..1 + statistics + parameters(shape)];
        let mut inputs = vec![dy.clone(), x.clone()];
        if *train {
            inputs.push(gradients.values[1].clone());
        } else {
            inputs.extend(node.inputs[1..3].iter().cloned());
        }
        if shape.relu {
            inputs.push(gradients.values[0].clone());
        }
        inputs.extend(affine.iter().cloned());
        let mut outputs = vec![(x.shape().clone(), DType::F32)];
        outputs.extend(affine.iter().map(|t| (t.shape().clone(), DType::F32)));
        let masked = shape.residual && shape.relu;
        if masked {
            outputs.push((x.shape().clone(), DType::F32));
        }
        let op = BatchNormBackward(self.0.clone());
        let mut made = Tensor::record_all(x.gpu(), op, inputs, outputs).into_iter().map(Some);
        let mut found = vec![made.next().flatten()];
        found.extend(vec![None; statistics]);
        found.extend(made.by_ref().take(affine.len()));
        if shape.residual {
            found.push(if masked { made.next().flatten() } else { Some(dy.clone()) });
        }
        Ok(found)
    }
}

impl Op for BatchNormBackward {
    fn name(&self) -> &'static str {
        match self.0.shape.affine {
            kernels::Affine::Normalized { .. } => "normalized_batch_norm_backward",
            _ => "batch_norm_backward",
        }
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        if self.0.train {
            kernels::backward_train(&self.0.shape, caps)
        } else {
            kernels::backward_eval(&self.0.shape, caps)
        }
    }

    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Err(Error::Failure("the gradient of batch_norm has no gradient".into()))
    }
}
