//! The differentiable ops, one file each (same stem as its folder under `kernels/`): the function
//! that checks shapes and records a node, the launches, and the gradient as further nodes.

mod all_reduce;
mod augment;
mod batch;
mod batchnorm;
mod conv2d;
mod detach;
mod elementwise;
mod matmul;
mod mix;
mod noise;
mod one_hot;
mod pool;
mod reduce;
mod reshape;
mod rows;
mod shortcut;
mod softmax_ce;

pub use all_reduce::all_reduce;
pub use augment::{Entry, Normalized, Operation, Policy, augment};
pub use batch::{BatchSource, Changes, batch};
pub use batchnorm::{Affine, BatchNormed, Normalization, batch_norm_eval, batch_norm_train};
pub use conv2d::{Conv2dOptions, conv2d};
pub use detach::detach;
pub(crate) use elementwise::copy_program;
pub use elementwise::{binary, expand, fill, mean_of, sum_of, unary};
pub use matmul::{linear, matmul};
pub use mix::{MixedBatch, between, mix};
pub use noise::{Noise, noise};
pub use one_hot::one_hot;
pub use pool::{Pool2dOptions, avg_pool2d, global_avg_pool, max_pool2d};
pub use reduce::{mean, sum};
pub use reshape::reshape;
pub use rows::{concat, rows};
pub use shortcut::shortcut_a;
pub use softmax_ce::{CrossEntropy, cross_entropy, cross_entropy_rows, log_softmax, softmax};

use crate::error::Error;
use crate::tensor::Tensor;

/// An error of shapes: the op's name and what does not fit.
pub(crate) fn misfit(op: &'static str, message: impl Into<String>) -> Error {
    Error::Shape { op, message: message.into() }
}

/// The extents of a tensor that must have `N` of them.
pub(crate) fn dims<const N: usize>(
    op: &'static str,
    what: &str,
    tensor: &Tensor,
) -> Result<[usize; N], Error> {
    tensor.dims().try_into().map_err(|_| {
        misfit(op, format!("{what} must have {N} axes, but its shape is {}", tensor.shape()))
    })
}

/// Checks that `tensor` has exactly the shape `want`.
pub(crate) fn expect(
    op: &'static str,
    what: &str,
    tensor: &Tensor,
    want: &[usize],
) -> Result<(), Error> {
    if tensor.dims() == want {
        return Ok(());
    }
    Err(misfit(op, format!("{what} must be {want:?}, but its shape is {}", tensor.shape())))
}
