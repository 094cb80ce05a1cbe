//! Convolution and linear layers: their parameters and PyTorch's names for them.

use super::{Builder, Init, Scope, Slot};
use crate::error::Result;
use crate::ops::{self, Conv2dOptions};
use crate::tensor::Tensor;

/// A convolution without bias; weights start normal with standard deviation √(2 / fan-in)
/// (`kaiming_normal`).
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Slot,
    options: Conv2dOptions,
}

impl Conv2d {
    /// `ci` to `co` channels by square kernels of `k`.
    pub fn new(
        builder: &mut Builder,
        name: &str,
        (ci, co): (usize, usize),
        k: usize,
        stride: usize,
    ) -> Self {
        let sd = (2.0 / (ci * k * k) as f32).sqrt();
        let weight = builder.parameter(format!("{name}.weight"), [co, ci, k, k], Init::Normal(sd));
        let pad = k / 2;
        let options = Conv2dOptions {
            stride: [stride, stride],
            padding: [pad, pad],
            ..Conv2dOptions::default()
        };
        Conv2d { weight, options }
    }

    /// x [N, Ci, H, W] → [N, Co, Ho, Wo].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        ops::conv2d(x, scope.get(self.weight), self.options)
    }
}

/// y = x·Wᵀ + b; weights start `kaiming_normal`, the bias uniform within ±1/√inputs.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Slot,
    bias: Slot,
}

impl Linear {
    /// `inputs` features to `outputs`.
    pub fn new(builder: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Self {
        let sd = (2.0 / inputs as f32).sqrt();
        let bound = 1.0 / (inputs as f32).sqrt();
        Linear {
            weight: builder.parameter(
                format!("{name}.weight"),
                [outputs, inputs],
                Init::Normal(sd),
            ),
            bias: builder.parameter(format!("{name}.bias"), [outputs], Init::Uniform(bound)),
        }
    }

    /// x [N, I] → [N, O].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, scope.get(self.weight), Some(scope.get(self.bias)))
    }
}
