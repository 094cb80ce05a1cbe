//! rows: some consecutive entries of the first axis; the gradient is theirs among zeros.

use super::{misfit, sum_of};
use crate::error::Result;
use crate::tensor::{Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::rows::rows as program;
use evenkeel_kernels::{Caps, Program};

/// y_i = x_(i + from) in elements, 0 outside x.
#[derive(Debug)]
struct Rows {
    from: i32,
}

/// Entries `first..first + count` of the first axis of `x`, of any type.
///
/// # Errors
/// Entries that `x` does not have.
pub fn rows(x: &Tensor, first: usize, count: usize) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let has = shape.first().copied().unwrap_or(0);
    let fits = first.checked_add(count).is_some_and(|end| end <= has);
    if !fits || count == 0 {
        let message = format!("{} has no {count} rows from {first} on", x.shape());
        return Err(misfit("rows", message));
    }
    let each = x.shape().len() / has;
    shape[0] = count;
    Ok(record(x, shape.into(), (first * each) as i32))
}

/// The entries of the first axis of all `parts`, one behind the other.
///
/// # Errors
/// No parts, or parts that differ beyond the first axis.
pub fn concat(parts: &[Tensor]) -> Result<Tensor> {
    let Some(first) = parts.first() else {
        return Err(misfit("concat", "nothing is given"));
    };
    let rest = first.dims().get(1..).unwrap_or_default();
    let count: usize = parts.iter().map(|p| p.dims().first().copied().unwrap_or(0)).sum();
    let shape = [&[count], rest].concat();
    let (mut placed, mut from) = (Vec::new(), 0);
    for part in parts {
        if part.dims().get(1..) != Some(rest) || part.dims().is_empty() {
            let message = format!("{} does not follow {}", part.shape(), first.shape());
            return Err(misfit("concat", message));
        }
        // Each part among zeros: their sum holds all.
        placed.push(record(part, shape.clone().into(), -(from as i32)));
        from += part.shape().len();
    }
    sum_of(&placed)
}

fn record(x: &Tensor, shape: Shape, from: i32) -> Tensor {
    let [y] = Tensor::record(x.gpu(), Rows { from }, vec![x.clone()], [(shape, x.dtype())]);
    y
}

impl Op for Rows {
    fn name(&self) -> &'static str {
        if self.from < 0 { "rows_backward" } else { "rows" }
    }

    fn program(&self, node: &Node, _: &Caps) -> Program {
        program(node.outputs[0].0.len() as u32, self.from)
    }

    // The map is linear: the gradient of one direction is the other.
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let shape = node.inputs[0].shape().clone();
        Ok(vec![gradients.first().map(|g| record(g, shape, -self.from))])
    }
}
