//! one_hot: labels as rows with a 1 at the label.

use super::{dims, misfit};
use crate::error::Result;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::batch::one_hot as program;
use evenkeel_kernels::{Caps, Program};

#[derive(Debug)]
struct OneHot {
    n: u32,
    classes: u32,
}

/// hot [N, classes] of `labels` \[N\] (integers): 1 at the label, 0 elsewhere. No gradient.
///
/// # Errors
/// Labels that are not integers, or no classes.
pub fn one_hot(labels: &Tensor, classes: usize) -> Result<Tensor> {
    let [n] = dims("one_hot", "the labels", labels)?;
    if labels.dtype() != DType::U32 || classes == 0 {
        return Err(misfit("one_hot", "needs labels that are integers, and at least one class"));
    }
    let op = OneHot { n: n as u32, classes: classes as u32 };
    let out = (Shape::from([n, classes]), DType::F32);
    let [hot] = Tensor::record(labels.gpu(), op, vec![labels.clone()], [out]);
    Ok(hot)
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn program(&self, _: &Node, _: &Caps) -> Program {
        program(self.n, self.classes)
    }

    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}
