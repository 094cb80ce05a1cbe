//! Convolution and linear layers: their parameters and PyTorch's names for them.

use super::blocks::Kind;
use super::{Builder, Init, Scope, Slot};
use crate::error::Result;
use crate::ops::{self, Conv2dOptions};
use crate::tensor::Tensor;

/// Which of a convolution's fans its weights start by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of an output: the CIFAR networks.
    In,
    /// Outputs of an input: torchvision's networks.
    Out,
}

impl Fan {
    /// That of the networks with blocks of this kind.
    pub fn of(kind: Kind) -> Self {
        if kind == Kind::Padded { Fan::In } else { Fan::Out }
    }
}

/// Channels in and out, side of the kernel, step, groups.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Channels in.
    pub ci: usize,
    /// Channels out.
    pub co: usize,
    /// Rows and columns of the kernel.
    pub k: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
}

/// A convolution without bias, padded by half its kernel; weights start normal with standard deviation
/// √(2 / fan) (`kaiming_normal`).
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Slot,
    options: Conv2dOptions,
}

impl Conv2d {
    /// Declares the weight [Co, Ci/groups, k, k].
    pub fn new(builder: &mut Builder, name: &str, shape: ConvShape, fan: Fan) -> Self {
        let ConvShape { ci, co, k, stride, groups } = shape;
        let fan = match fan {
            Fan::In => ci / groups,
            Fan::Out => co,
        };
        let init = Init::Normal((2.0 / (fan * k * k) as f32).sqrt());
        let weight = builder.parameter(format!("{name}.weight"), [co, ci / groups, k, k], init);
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [k / 2; 2],
            groups,
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

/// y = x·Wᵀ + b; weights start `kaiming_normal`, or as PyTorch's default does uniform within ±1/√inputs,
/// the bias uniform within ±1/√inputs.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Slot,
    bias: Slot,
}

impl Linear {
    /// `inputs` features to `outputs`, by `kaiming_normal`.
    pub fn new(builder: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Normal((2.0 / inputs as f32).sqrt());
        Self::starting(builder, name, inputs, outputs, init)
    }

    /// The same, by PyTorch's default.
    pub fn uniform(builder: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform(1.0 / (inputs as f32).sqrt());
        Self::starting(builder, name, inputs, outputs, init)
    }

    /// Its weight [outputs, inputs].
    pub fn weight(&self) -> Slot {
        self.weight
    }

    fn starting(
        builder: &mut Builder,
        name: &str,
        inputs: usize,
        outputs: usize,
        init: Init,
    ) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        Linear {
            weight: builder.parameter(format!("{name}.weight"), [outputs, inputs], init),
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
