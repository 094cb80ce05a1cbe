//! The CIFAR ResNet-32 with option-A shortcuts, as `evenkeel` and `tools/golden/nets.py` have it.

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::activation::relu;

#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    /// Channels of zeros on each side of the shortcut; 0 where it is the input itself.
    pad: usize,
}

#[derive(Module, Debug)]
pub struct ResNet32 {
    conv1: Conv2d,
    bn1: BatchNorm,
    blocks: Vec<Block>,
    linear: Linear,
}

fn conv3x3(input: usize, output: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([input, output], [3, 3])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_bias(false)
        .init(device)
}

impl Block {
    fn new(input: usize, output: usize, stride: usize, device: &Device) -> Self {
        Block {
            conv1: conv3x3(input, output, stride, device),
            bn1: BatchNormConfig::new(output).init(device),
            conv2: conv3x3(output, output, 1, device),
            bn2: BatchNormConfig::new(output).init(device),
            pad: (output - input) / 2,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let y = self.bn2.forward(self.conv2.forward(y));
        if self.pad == 0 {
            return relu(y + x);
        }
        let x = x.slice(s![.., .., ..;2, ..;2]);
        let [n, _, h, w] = x.dims();
        let zeros = Tensor::<4>::zeros([n, self.pad, h, w], &x.device());
        relu(y + Tensor::cat(vec![zeros.clone(), x, zeros], 1))
    }
}

impl ResNet32 {
    pub fn new(classes: usize, device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut input = 16;
        for (output, stride) in [(16, 1), (32, 2), (64, 2)] {
            for i in 0..5 {
                blocks.push(Block::new(input, output, if i == 0 { stride } else { 1 }, device));
                input = output;
            }
        }
        ResNet32 {
            conv1: conv3x3(3, 16, 1, device),
            bn1: BatchNormConfig::new(16).init(device),
            blocks,
            linear: LinearConfig::new(64, classes).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = relu(self.bn1.forward(self.conv1.forward(x)));
        for block in &self.blocks {
            x = block.forward(x);
        }
        let [n, c, h, w] = x.dims();
        self.linear.forward(x.reshape([n, c, h * w]).mean_dim(2).squeeze_dim(2))
    }
}
