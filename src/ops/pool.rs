//! Pooling over windows (maximum, average) and over the whole plane.

use super::{dims, misfit, reduce::scaled_sum, reshape};
use crate::error::{Error, Result};
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::pool::{self, Pool2d};
use evenkeel_kernels::{Caps, Program};

/// Window, step and padding (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dOptions {
    /// Window.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Padding on each side: −∞ for the maximum, zeros that count for the average.
    pub padding: [usize; 2],
}

#[derive(Debug)]
struct Pool {
    shape: Pool2d,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Max,
    MaxBackward,
    Average,
    AverageBackward,
}

/// y\[n,c,p,q\] = maximum of the window; the first maximum takes the gradient; NaN wins.
///
/// # Errors
/// A window larger than the padded input, or padding above half the window.
pub fn max_pool2d(x: &Tensor, options: Pool2dOptions) -> Result<Tensor> {
    let (shape, out) = shape("max_pool2d", x, options)?;
    let op = Pool { shape, kind: Kind::Max };
    let outputs = [(out.clone(), DType::F32), (out, DType::U32)];
    let [y, _argmax] = Tensor::record(x.gpu(), op, vec![x.clone()], outputs);
    Ok(y)
}

/// y\[n,c,p,q\] = mean of the window, padding counted as zeros.
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(x: &Tensor, options: Pool2dOptions) -> Result<Tensor> {
    let (shape, out) = shape("avg_pool2d", x, options)?;
    let op = Pool { shape, kind: Kind::Average };
    let [y] = Tensor::record(x.gpu(), op, vec![x.clone()], [(out, DType::F32)]);
    Ok(y)
}

/// y\[n,c\] = mean of x[n,c,·,·].
///
/// # Errors
/// An input without four axes.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    let [n, c, _, _] = dims("global_avg_pool", "the input", x)?;
    let y = scaled_sum("global_avg_pool", x, &[2, 3], true, |count| 1.0 / count as f32)?;
    reshape(&y, [n, c])
}

fn shape(op: &'static str, x: &Tensor, o: Pool2dOptions) -> Result<(Pool2d, Shape)> {
    let [n, c, h, w] = dims(op, "the input", x)?;
    for (axis, size) in [h, w].into_iter().enumerate() {
        let (k, p) = (o.kernel[axis], o.padding[axis]);
        if k == 0 || o.stride[axis] == 0 || size + 2 * p < k || 2 * p > k {
            return Err(misfit(
                op,
                format!(
                    "a window of {:?} with stride {:?} and padding {:?} does not fit {} (padding is \
                     at most half the window)",
                    o.kernel,
                    o.stride,
                    o.padding,
                    x.shape()
                ),
            ));
        }
    }
    let two = |v: [usize; 2]| [v[0] as u32, v[1] as u32];
    let shape = Pool2d {
        n: n as u32,
        c: c as u32,
        h: h as u32,
        w: w as u32,
        kernel: two(o.kernel),
        stride: two(o.stride),
        pad: two(o.padding),
    };
    let out = |size: usize, i: usize| (size + 2 * o.padding[i] - o.kernel[i]) / o.stride[i] + 1;
    Ok((shape, Shape::from([n, c, out(h, 0), out(w, 1)])))
}

impl Op for Pool {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Max => "max_pool2d",
            Kind::MaxBackward => "max_pool2d_backward",
            Kind::Average => "avg_pool2d",
            Kind::AverageBackward => "avg_pool2d_backward",
        }
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        match self.kind {
            Kind::Max => pool::max_forward(&self.shape, caps),
            Kind::MaxBackward => pool::max_backward(&self.shape, caps),
            Kind::Average => pool::avg_forward(&self.shape, caps),
            Kind::AverageBackward => pool::avg_backward(&self.shape, caps),
        }
    }

    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let Some(dy) = gradients.first() else { return Ok(vec![None]) };
        let x = &node.inputs[0];
        let (kind, inputs) = match self.kind {
            Kind::Max => (Kind::MaxBackward, vec![dy.clone(), gradients.values[1].clone()]),
            Kind::Average => (Kind::AverageBackward, vec![dy.clone()]),
            Kind::MaxBackward | Kind::AverageBackward => {
                return Err(Error::Failure(format!("{} has no gradient", self.name())));
            }
        };
        let op = Pool { shape: self.shape, kind };
        let [dx] = Tensor::record(x.gpu(), op, inputs, [(x.shape().clone(), DType::F32)]);
        Ok(vec![Some(dx)])
    }
}
