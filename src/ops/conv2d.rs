//! conv2d: y[n,o,p,q] = Σ_{c,r,s} x[n, c, p·stride−pad+r·dilation, q·stride−pad+s·dilation] · w[o,c,r,s].
//!
//! Its two gradients are ops of their own, and each of the three is a gradient of the others, so a
//! gradient of a gradient exists.

use super::{dims, misfit};
use crate::error::Result;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::conv2d::{Conv2d, Direction, Variant, program, variants};
use evenkeel_kernels::{Caps, Program, conv2d_key};

/// Stride, padding, dilation (rows, columns) and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step between outputs.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Step between taps.
    pub dilation: [usize; 2],
    /// Groups of channels that don't mix.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Conv2dOptions { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

/// Convolution of `x` [N, Ci, H, W] with `weight` [Co, Ci/groups, kh, kw]: [N, Co, Ho, Wo] with
/// Ho = (H + 2·padding − dilation·(kh−1) − 1) / stride + 1.
///
/// # Errors
/// Extents that do not fit, or a kernel larger than the padded input.
pub fn conv2d(x: &Tensor, weight: &Tensor, options: Conv2dOptions) -> Result<Tensor> {
    let [n, ci, h, w] = dims("conv2d", "the input", x)?;
    let [co, cig, kh, kw] = dims("conv2d", "the weight", weight)?;
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    if groups == 0 || stride.contains(&0) || dilation.contains(&0) {
        return Err(misfit("conv2d", "stride, dilation and groups must be at least 1"));
    }
    if ci != cig * groups || co % groups != 0 {
        return Err(misfit(
            "conv2d",
            format!(
                "an input of {} and a weight of {} with {groups} groups: the weight's axis 1 must \
                 be {ci}/{groups} and its axis 0 a multiple of {groups}",
                x.shape(),
                weight.shape()
            ),
        ));
    }
    for (axis, (size, k)) in [(h, kh), (w, kw)].into_iter().enumerate() {
        if size + 2 * padding[axis] < dilation[axis] * (k.max(1) - 1) + 1 || k == 0 {
            return Err(misfit(
                "conv2d",
                format!(
                    "a kernel of {} does not fit an input of {} with padding {padding:?}",
                    weight.shape(),
                    x.shape()
                ),
            ));
        }
    }
    let two = |v: [usize; 2]| [v[0] as u32, v[1] as u32];
    let shape = Conv2d {
        n: n as u32,
        ci: ci as u32,
        h: h as u32,
        w: w as u32,
        co: co as u32,
        kh: kh as u32,
        kw: kw as u32,
        stride: two(stride),
        pad: two(padding),
        dilation: two(dilation),
        groups: groups as u32,
    };
    Ok(forward(shape, x, weight))
}

#[derive(Debug)]
struct Convolution {
    shape: Conv2d,
    direction: Direction,
}

fn record(shape: Conv2d, direction: Direction, a: &Tensor, b: &Tensor) -> Tensor {
    let (ho, wo) = shape.out_hw();
    let out = match direction {
        Direction::Forward => [shape.n, shape.co, ho, wo],
        Direction::BackwardData => [shape.n, shape.ci, shape.h, shape.w],
        Direction::BackwardWeights => [shape.co, shape.ci / shape.groups, shape.kh, shape.kw],
    };
    let out = Shape::from(out.map(|d| d as usize));
    let op = Convolution { shape, direction };
    let [y] = Tensor::record(a.gpu(), op, vec![a.clone(), b.clone()], [(out, DType::F32)]);
    y
}

fn forward(shape: Conv2d, x: &Tensor, weight: &Tensor) -> Tensor {
    record(shape, Direction::Forward, x, weight)
}

fn backward_data(shape: Conv2d, dy: &Tensor, weight: &Tensor) -> Tensor {
    record(shape, Direction::BackwardData, dy, weight)
}

fn backward_weights(shape: Conv2d, x: &Tensor, dy: &Tensor) -> Tensor {
    record(shape, Direction::BackwardWeights, x, dy)
}

impl Op for Convolution {
    fn name(&self) -> &'static str {
        match self.direction {
            Direction::Forward => "conv2d",
            Direction::BackwardData => "conv2d_backward_data",
            Direction::BackwardWeights => "conv2d_backward_weights",
        }
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        let offered = variants(&self.shape, self.direction, caps);
        let key = conv2d_key(&self.shape, self.direction);
        let variant = caps.choose_for(&key, &offered, Variant::name);
        program(&self.shape, self.direction, variant, caps)
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (&node.inputs[0], &node.inputs[1]);
        let Some(g) = gradients.first() else { return Ok(vec![None, None]) };
        let s = self.shape;
        let (ga, gb) = match self.direction {
            // y = x * w: a = x, b = w
            Direction::Forward => (backward_data(s, g, b), backward_weights(s, a, g)),
            // dx = dy *ᵀ w: a = dy, b = w, g is a gradient of dx
            Direction::BackwardData => (forward(s, g, b), backward_weights(s, g, a)),
            // dw = x ⋆ dy: a = x, b = dy, g is a gradient of dw
            Direction::BackwardWeights => (backward_data(s, b, g), forward(s, a, g)),
        };
        Ok(vec![Some(ga), Some(gb)])
    }
}
