//! all_reduce: the sum over the ranks that train together; of a process alone, its own values. What every
//! rank's loss owes to every rank's input is their sum again: the gradient is the all_reduce of the gradient.

use crate::error::Result;
use crate::tensor::{DType, Gradients, Node, Op, Tensor};
use evenkeel_kernels::{Arg, Caps, Exchange, Program};

#[derive(Debug)]
struct AllReduce;

/// Σ over the ranks of `x`, shaped alike on each: `y = Σ_r x_r`, `dx = Σ_r dy_r`.
pub fn all_reduce(x: &Tensor) -> Tensor {
    let out = (x.shape().clone(), DType::F32);
    let [y] = Tensor::record(x.gpu(), AllReduce, vec![x.clone()], [out]);
    y
}

impl Op for AllReduce {
    fn name(&self) -> &'static str {
        "all_reduce"
    }

    fn program(&self, node: &Node, caps: &Caps) -> Program {
        let mut program = super::copy_program(node.outputs[0].0.len() as u32, caps);
        program.exchange(Arg::Out(0), Exchange::Sum);
        program
    }

    fn exchanges(&self) -> bool {
        true
    }

    fn backward(&self, _: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![gradients.first().map(all_reduce)])
    }
}
