//! Matrix products.

use super::{Array, Attrs, OpInfo, dims, expect, misfit};
use crate::error::Result;

pub(super) const LINEAR: OpInfo = OpInfo {
    name: "linear",
    inputs: &["input", "weight", "bias"],
    required: 2,
    attrs: &[],
    outputs: &["output"],
    fixed: &[],
    forward: linear,
    backward: linear_backward,
};

pub(super) const MATMUL: OpInfo = OpInfo {
    name: "matmul",
    inputs: &["input", "other"],
    required: 2,
    attrs: &[],
    outputs: &["output"],
    fixed: &[],
    forward: matmul,
    backward: matmul_backward,
};

/// C += A·B for row-major A \[m,k\] and B \[k,n\]; element (i, j) of A or B is found by its strides,
/// so a transposed matrix is one with swapped strides.
fn product(
    [m, k, n]: [usize; 3],
    (a, sa): (&[f64], [usize; 2]),
    (b, sb): (&[f64], [usize; 2]),
    c: &mut [f64],
) {
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        for l in 0..k {
            c[i * n + j] += a[i * sa[0] + l * sa[1]] * b[l * sb[0] + j * sb[1]];
        }
    }
}

/// Rows of the input (all axes but the last together), input features, output features.
fn linear_sizes(a: &Attrs<'_>, inputs: &[Array]) -> Result<[usize; 3]> {
    let [o, i] = dims(a.op, "weight", &inputs[1])?;
    if inputs[0].shape.last() != Some(&i) {
        return Err(misfit(
            a.op,
            format!("input {:?} must end in the weight's {i} features", inputs[0].shape),
        ));
    }
    if let Some(bias) = inputs.get(2) {
        expect(a.op, "bias", bias, &[o])?;
    }
    Ok([inputs[0].len() / i, i, o])
}

/// y\[…,o\] = bias\[o\] + Σ_i x\[…,i\] · w\[o,i\].
fn linear(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let [rows, i, o] = linear_sizes(a, inputs)?;
    let mut shape = inputs[0].shape.clone();
    shape.pop();
    shape.push(o);
    let mut y = Array::zeros(a.op, shape)?;
    if let Some(bias) = inputs.get(2) {
        for (k, v) in y.data.iter_mut().enumerate() {
            *v = bias.data[k % o];
        }
    }
    product([rows, i, o], (&inputs[0].data, [i, 1]), (&inputs[1].data, [1, i]), &mut y.data);
    Ok(vec![y])
}

/// dx = dy·w; dw = dyᵀ·x; dbias\[o\] = Σ_rows dy\[row,o\].
fn linear_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let [rows, i, o] = linear_sizes(a, inputs)?;
    let (mut dx, mut dw) = (inputs[0].zeros_like(), inputs[1].zeros_like());
    product([rows, o, i], (&dy.data, [o, 1]), (&inputs[1].data, [i, 1]), &mut dx.data);
    product([o, rows, i], (&dy.data, [1, o]), (&inputs[0].data, [i, 1]), &mut dw.data);
    let mut found = vec![Some(dx), Some(dw)];
    if let Some(bias) = inputs.get(2) {
        let mut db = bias.zeros_like();
        for (k, v) in dy.data.iter().enumerate() {
            db.data[k % o] += v;
        }
        found.push(Some(db));
    }
    Ok(found)
}

fn matmul_sizes(a: &Attrs<'_>, inputs: &[Array]) -> Result<[usize; 3]> {
    let [m, k] = dims(a.op, "input", &inputs[0])?;
    let [l, n] = dims(a.op, "other", &inputs[1])?;
    if k != l {
        let (x, y) = (&inputs[0].shape, &inputs[1].shape);
        return Err(misfit(a.op, format!("inner extents differ: {x:?} and {y:?} ({k} and {l})")));
    }
    Ok([m, k, n])
}

/// C\[i,j\] = Σ_l A\[i,l\] · B\[l,j\].
fn matmul(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let [m, k, n] = matmul_sizes(a, inputs)?;
    let mut c = Array::zeros(a.op, vec![m, n])?;
    product([m, k, n], (&inputs[0].data, [k, 1]), (&inputs[1].data, [n, 1]), &mut c.data);
    Ok(vec![c])
}

/// dA = dC·Bᵀ; dB = Aᵀ·dC.
fn matmul_backward(a: &Attrs<'_>, inputs: &[Array], dc: &Array) -> Result<Vec<Option<Array>>> {
    let [m, k, n] = matmul_sizes(a, inputs)?;
    let (mut da, mut db) = (inputs[0].zeros_like(), inputs[1].zeros_like());
    product([m, n, k], (&dc.data, [n, 1]), (&inputs[1].data, [1, n]), &mut da.data);
    product([k, m, n], (&inputs[0].data, [1, k]), (&dc.data, [n, 1]), &mut db.data);
    Ok(vec![Some(da), Some(db)])
}
