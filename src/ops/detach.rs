//! detach: the same values, through which no gradient flows; nothing is launched.

use crate::error::Result;
use crate::tensor::{Gradients, Node, Op, Tensor};
use evenkeel_kernels::{Caps, Program};

#[derive(Debug)]
struct Detach;

/// `x` as a constant to the gradient.
pub fn detach(x: &Tensor) -> Tensor {
    let [y] = Tensor::record(x.gpu(), Detach, vec![x.clone()], [(x.shape().clone(), x.dtype())]);
    y
}

impl Op for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn program(&self, _: &Node, _: &Caps) -> Program {
        Program::default()
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}
