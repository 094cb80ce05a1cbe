//! noise: random numbers of a step, functions of (seed, step, position of the sample, place in it) alone.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
pub use evenkeel_kernels::batch::Noise;
use evenkeel_kernels::batch::noise as program;
use evenkeel_kernels::{Caps, Program};
use std::rc::Rc;

#[derive(Debug)]
struct Draw {
    noise: Noise,
    which: u32,
}

/// Random numbers of `shape`, new at every step, the first axis being the batch's samples; `which` keeps
/// several draws of one step apart.
pub fn noise(gpu: &Rc<Gpu>, shape: impl Into<Shape>, noise: Noise, which: u32) -> Tensor {
    let out = (shape.into(), DType::F32);
    let [y] = Tensor::record(gpu, Draw { noise, which }, Vec::new(), [out]);
    y
}

impl Op for Draw {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn program(&self, node: &Node, _: &Caps) -> Program {
        let shape = &node.outputs[0].0;
        let row: usize = shape.dims().iter().skip(1).product();
        program(shape.len() as u32, row as u32, self.noise, self.which)
    }

    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(Vec::new())
    }
}
