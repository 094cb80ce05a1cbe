//! reshape: the same elements under other extents; nothing is launched.

use super::misfit;
use crate::error::Result;
use crate::tensor::{Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::{Caps, Program};

#[derive(Debug)]
struct Reshape;

/// `x` under another shape of as many elements.
///
/// # Errors
/// Another number of elements.
pub fn reshape(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    if shape.len() != x.shape().len() {
        return Err(misfit("reshape", format!("{} cannot become {shape}", x.shape())));
    }
    let [y] = Tensor::record(x.gpu(), Reshape, vec![x.clone()], [(shape, x.dtype())]);
    Ok(y)
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn program(&self, _: &Node, _: &Caps) -> Program {
        Program::default()
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let shape = node.inputs[0].shape().clone();
        let dx = gradients.first().map(|g| reshape(g, shape)).transpose()?;
        Ok(vec![dx])
    }
}
