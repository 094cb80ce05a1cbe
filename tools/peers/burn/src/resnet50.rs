//! ImageNet's ResNet-50 as `evenkeel` and torchvision have it: bottlenecks whose 3×3 convolution has the
//! stride, shortcuts projected where shapes differ.

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::activation::relu;

/// A convolution without bias and its batch norm.
#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    bn: BatchNorm,
}

#[derive(Module, Debug)]
struct Block {
    reduce: ConvNorm,
    middle: ConvNorm,
    expand: ConvNorm,
    shortcut: Option<ConvNorm>,
}

#[derive(Module, Debug)]
pub struct ResNet50 {
    stem: ConvNorm,
    pool: MaxPool2d,
    blocks: Vec<Block>,
    fc: Linear,
}

fn padding(n: usize) -> PaddingConfig2d {
    PaddingConfig2d::Explicit(n, n, n, n)
}

impl ConvNorm {
    fn new(input: usize, output: usize, k: usize, stride: usize, device: &Device) -> Self {
        let conv = Conv2dConfig::new([input, output], [k, k])
            .with_stride([stride, stride])
            .with_padding(padding(k / 2))
            .with_bias(false)
            .init(device);
        ConvNorm { conv, bn: BatchNormConfig::new(output).init(device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.conv.forward(x))
    }
}

impl Block {
    fn new(input: usize, width: usize, stride: usize, device: &Device) -> Self {
        let output = 4 * width;
        Block {
            reduce: ConvNorm::new(input, width, 1, 1, device),
            middle: ConvNorm::new(width, width, 3, stride, device),
            expand: ConvNorm::new(width, output, 1, 1, device),
            shortcut: (input != output).then(|| ConvNorm::new(input, output, 1, stride, device)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.reduce.forward(x.clone()));
        let y = relu(self.middle.forward(y));
        let y = self.expand.forward(y);
        let around = match &self.shortcut {
            Some(projection) => projection.forward(x),
            None => x,
        };
        relu(y + around)
    }
}

impl ResNet50 {
    pub fn new(classes: usize, device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut input = 64;
        for (width, count, stride) in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)] {
            for i in 0..count {
                blocks.push(Block::new(input, width, if i == 0 { stride } else { 1 }, device));
                input = 4 * width;
            }
        }
        let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]).with_padding(padding(1));
        ResNet50 {
            stem: ConvNorm::new(3, 64, 7, 2, device),
            pool: pool.init(),
            blocks,
            fc: LinearConfig::new(input, classes).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = self.pool.forward(relu(self.stem.forward(x)));
        for block in &self.blocks {
            x = block.forward(x);
        }
        let [n, c, h, w] = x.dims();
        self.fc.forward(x.reshape([n, c, h * w]).mean_dim(2).squeeze_dim(2))
    }
}
