//! matmul: C = A·B, A or B read transposed; and linear: y = x·Wᵀ + b.

use super::{dims, expect, misfit, sum};
use crate::error::Result;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::matmul::{Matmul, Variant, program, variants};
use evenkeel_kernels::{Caps, Program, matmul_key};

#[derive(Debug)]
struct Product {
    shape: Matmul,
}

/// A [M, K] times B [K, N]: [M, N].
///
/// # Errors
/// Inner extents that differ.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    product("matmul", a, false, b, false, None)
}

/// y [N, O] = x [N, I] · weight [O, I]ᵀ + bias \[O\], as `torch.nn.functional.linear`.
///
/// # Errors
/// Extents that do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    product("linear", x, false, weight, true, bias)
}

fn product(
    op: &'static str,
    a: &Tensor,
    transpose_a: bool,
    b: &Tensor,
    transpose_b: bool,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let [a0, a1] = dims(op, "the first operand", a)?;
    let [b0, b1] = dims(op, "the second operand", b)?;
    let (m, k) = if transpose_a { (a1, a0) } else { (a0, a1) };
    let (kb, n) = if transpose_b { (b1, b0) } else { (b0, b1) };
    if k != kb {
        return Err(misfit(
            op,
            format!("inner extents differ: {} and {} ({k} and {kb})", a.shape(), b.shape()),
        ));
    }
    if let Some(bias) = bias {
        expect(op, "the bias", bias, &[n])?;
    }
    let shape = Matmul {
        batch: 1,
        m: m as u32,
        n: n as u32,
        k: k as u32,
        transpose_a,
        transpose_b,
        bias: bias.is_some(),
    };
    let inputs = [a, b].into_iter().chain(bias).cloned().collect();
    let out = (Shape::from([m, n]), DType::F32);
    let [c] = Tensor::record(a.gpu(), Product { shape }, inputs, [out]);
    Ok(c)
}

impl Op for Product {
    fn name(&self) -> &'static str {
        if self.shape.bias { "linear" } else { "matmul" }
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        let offered = variants(&self.shape, caps);
        let variant = caps.choose_for(&matmul_key(&self.shape), &offered, Variant::name);
        program(&self.shape, variant, caps)
    }

    // C = op(A)·op(B): d op(A) = dC·op(B)ᵀ, d op(B) = op(A)ᵀ·dC, each transposed back where needed.
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let Some(g) = gradients.first() else { return Ok(vec![None; node.inputs.len()]) };
        let (a, b) = (&node.inputs[0], &node.inputs[1]);
        let (ta, tb) = (self.shape.transpose_a, self.shape.transpose_b);
        let da = match ta {
            false => product("matmul", g, false, b, !tb, None)?,
            true => product("matmul", b, tb, g, true, None)?,
        };
        let db = match tb {
            false => product("matmul", a, !ta, g, false, None)?,
            true => product("matmul", g, true, a, ta, None)?,
        };
        let mut found = vec![Some(da), Some(db)];
        if self.shape.bias {
            found.push(Some(sum(g, &[0], false)?));
        }
        Ok(found)
    }
}
