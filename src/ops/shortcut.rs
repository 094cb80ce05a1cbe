//! The option-A shortcut of CIFAR ResNets: every stride-th row and column, zero channels before and
//! after; no parameters. y[n, lo + c, p, q] = x[n, c, p·stride, q·stride], lo = (Co − Ci) / 2.

use super::{dims, misfit};
use crate::error::Result;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::shortcut::{ShortcutA, backward, forward};
use evenkeel_kernels::{Caps, Program};

#[derive(Debug)]
struct Shortcut {
    shape: ShortcutA,
    adjoint: bool,
}

/// Option-A shortcut of `x` [N, Ci, H, W] to `planes` channels: [N, planes, ⌈H/stride⌉, ⌈W/stride⌉].
///
/// # Errors
/// Fewer planes than channels, or a stride of 0.
pub fn shortcut_a(x: &Tensor, planes: usize, stride: usize) -> Result<Tensor> {
    let [n, c, h, w] = dims("shortcut_a", "the input", x)?;
    if planes < c || stride == 0 {
        return Err(misfit(
            "shortcut_a",
            format!("{} to {planes} planes with stride {stride}", x.shape()),
        ));
    }
    let shape = ShortcutA {
        n: n as u32,
        ci: c as u32,
        h: h as u32,
        w: w as u32,
        co: planes as u32,
        stride: stride as u32,
    };
    Ok(record(shape, false, x))
}

fn record(shape: ShortcutA, adjoint: bool, x: &Tensor) -> Tensor {
    let s = shape;
    let out = if adjoint {
        [s.n, s.ci, s.h, s.w]
    } else {
        [s.n, s.co, s.h.div_ceil(s.stride), s.w.div_ceil(s.stride)]
    };
    let out = Shape::from(out.map(|d| d as usize));
    let op = Shortcut { shape, adjoint };
    let [y] = Tensor::record(x.gpu(), op, vec![x.clone()], [(out, DType::F32)]);
    y
}

impl Op for Shortcut {
    fn name(&self) -> &'static str {
        if self.adjoint { "shortcut_a_backward" } else { "shortcut_a" }
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        if self.adjoint { backward(&self.shape, caps) } else { forward(&self.shape, caps) }
    }

    // The map is linear: the gradient of one direction is the other.
    fn backward(&self, _: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![gradients.first().map(|g| record(self.shape, !self.adjoint, g))])
    }
}
