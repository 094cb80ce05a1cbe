//! The CIFAR ResNet-32 with option-A shortcuts, as `evenkeel` and `tools/golden/nets.py` have it.

use candle_core::{D, Result, Tensor};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, VarBuilder, batch_norm,
    conv2d_no_bias, linear,
};

struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    /// Channels of zeros on each side of the shortcut; 0 where it is the input itself.
    pad: usize,
}

pub struct ResNet32 {
    conv1: Conv2d,
    bn1: BatchNorm,
    blocks: Vec<Block>,
    linear: Linear,
}

fn conv3x3(input: usize, output: usize, stride: usize, at: VarBuilder<'_>) -> Result<Conv2d> {
    let config = Conv2dConfig { padding: 1, stride, ..Default::default() };
    conv2d_no_bias(input, output, 3, config, at)
}

impl Block {
    fn new(input: usize, output: usize, stride: usize, at: VarBuilder<'_>) -> Result<Self> {
        Ok(Block {
            conv1: conv3x3(input, output, stride, at.pp("conv1"))?,
            bn1: batch_norm(output, 1e-5, at.pp("bn1"))?,
            conv2: conv3x3(output, output, 1, at.pp("conv2"))?,
            bn2: batch_norm(output, 1e-5, at.pp("bn2"))?,
            pad: (output - input) / 2,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.bn1.forward_t(&self.conv1.forward(x)?, true)?.relu()?;
        let y = self.bn2.forward_t(&self.conv2.forward(&y)?, true)?;
        if self.pad == 0 {
            return (y + x)?.relu();
        }
        // candle has no slice with a step
        let (_, _, h, w) = x.dims4()?;
        let every_second = |size: usize| -> Result<Tensor> {
            let indices: Vec<u32> = (0..size as u32).step_by(2).collect();
            Tensor::from_vec(indices, size / 2, x.device())
        };
        let x = x.index_select(&every_second(h)?, 2)?.index_select(&every_second(w)?, 3)?;
        (y + x.pad_with_zeros(1, self.pad, self.pad)?)?.relu()
    }
}

impl ResNet32 {
    pub fn new(classes: usize, at: VarBuilder<'_>) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut input = 16;
        for (output, stride) in [(16, 1), (32, 2), (64, 2)] {
            for i in 0..5 {
                let at = at.pp(format!("blocks.{}", blocks.len()));
                blocks.push(Block::new(input, output, if i == 0 { stride } else { 1 }, at)?);
                input = output;
            }
        }
        Ok(ResNet32 {
            conv1: conv3x3(3, 16, 1, at.pp("conv1"))?,
            bn1: batch_norm(16, 1e-5, at.pp("bn1"))?,
            blocks,
            linear: linear(64, classes, at.pp("linear"))?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.bn1.forward_t(&self.conv1.forward(x)?, true)?.relu()?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.linear.forward(&x.flatten_from(2)?.mean(D::Minus1)?)
    }
}
