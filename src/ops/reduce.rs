//! sum and mean over any axes: y = scale · Σ x; the gradient is a broadcast.

use super::{elementwise::expand_with, misfit, reshape};
use crate::error::Result;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::{Caps, Program};

#[derive(Debug)]
struct Sum {
    axes: Vec<bool>,
    scale: f32,
}

/// Σ over `axes` (all when empty), whose extents become 1 (`keepdim`) or vanish.
///
/// # Errors
/// An axis the tensor does not have.
pub fn sum(x: &Tensor, axes: &[usize], keepdim: bool) -> Result<Tensor> {
    scaled_sum("sum", x, axes, keepdim, |_| 1.0)
}

/// Mean over `axes`, as [`sum`].
///
/// # Errors
/// As [`sum`].
pub fn mean(x: &Tensor, axes: &[usize], keepdim: bool) -> Result<Tensor> {
    scaled_sum("mean", x, axes, keepdim, |count| 1.0 / count as f32)
}

pub(super) fn scaled_sum(
    op: &'static str,
    x: &Tensor,
    axes: &[usize],
    keepdim: bool,
    scale: impl Fn(usize) -> f32,
) -> Result<Tensor> {
    let rank = x.dims().len();
    if let Some(axis) = axes.iter().find(|a| **a >= rank) {
        return Err(misfit(op, format!("{} has no axis {axis}", x.shape())));
    }
    let over: Vec<bool> = (0..rank).map(|i| axes.is_empty() || axes.contains(&i)).collect();
    let count = x.dims().iter().zip(&over).filter(|(_, o)| **o).map(|(d, _)| d).product();
    let kept: Vec<usize> =
        x.dims().iter().zip(&over).map(|(d, o)| if *o { 1 } else { *d }).collect();
    let op = Sum { axes: over.clone(), scale: scale(count) };
    let [y] = Tensor::record(x.gpu(), op, vec![x.clone()], [(kept.into(), DType::F32)]);
    if keepdim {
        return Ok(y);
    }
    let left: Vec<usize> =
        x.dims().iter().zip(&over).filter(|(_, o)| !**o).map(|(d, _)| *d).collect();
    reshape(&y, Shape::from(left))
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn program(&self, node: &Node, caps: &Caps) -> Program {
        evenkeel_kernels::reduce::sum(&node.in32(0), &self.axes, self.scale, caps)
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let shape = node.inputs[0].shape();
        Ok(vec![gradients.first().map(|g| expand_with(g, shape.clone(), self.scale))])
    }
}
