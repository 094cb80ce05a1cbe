//! Elementwise ops, with broadcast as NumPy does it.

use super::{Array, Attrs, OpInfo, misfit};
use crate::error::Result;

pub(super) const RELU: OpInfo = OpInfo {
    name: "relu",
    inputs: &["input"],
    required: 1,
    attrs: &[],
    outputs: &["output"],
    fixed: &[],
    forward: relu,
    backward: relu_backward,
};

/// An op of z = f(x, y), and the slopes ∂z/∂x, ∂z/∂y.
macro_rules! binary {
    ($($constant:ident $name:literal: $f:expr, $slopes:expr;)+) => { $(
        pub(super) const $constant: OpInfo = OpInfo {
            name: $name,
            inputs: &["input", "other"],
            required: 2,
            attrs: &[],
            outputs: &["output"],
            fixed: &[],
            forward: |a: &Attrs<'_>, inputs: &[Array]| binary(a, inputs, $f),
            backward: |_: &Attrs<'_>, inputs: &[Array], dz: &Array| {
                binary_backward(inputs, dz, $slopes)
            },
        };
    )+ };
}

binary! {
    ADD "add": |x, y| x + y, |_, _| (1.0, 1.0);
    SUB "sub": |x, y| x - y, |_, _| (1.0, -1.0);
    MUL "mul": |x, y| x * y, |x, y| (y, x);
    DIV "div": |x, y| x / y, |x, y| (1.0 / y, -x / (y * y));
    MAXIMUM "maximum": maximum, |x, y| (larger(x, y), larger(y, x));
}

/// The larger; NaN if either is.
fn maximum(x: f64, y: f64) -> f64 {
    if x.is_nan() || x > y { x } else { y }
}

/// How much of the maximum's gradient goes to x: all if it is larger, half if it is equal.
fn larger(x: f64, y: f64) -> f64 {
    if x > y {
        1.0
    } else if x == y {
        0.5
    } else {
        0.0
    }
}

/// y = max(x, 0); NaN stays NaN.
fn relu(_: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let x = &inputs[0];
    let y = x.data.iter().map(|v| if *v <= 0.0 { 0.0 } else { *v }).collect();
    Ok(vec![Array::new(x.shape.clone(), y)])
}

/// dx = dy where x > 0, else 0 (also at x = 0).
fn relu_backward(_: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let x = &inputs[0];
    let dx = x.data.iter().zip(&dy.data).map(|(x, g)| if *x <= 0.0 { 0.0 } else { *g });
    Ok(vec![Some(Array::new(x.shape.clone(), dx.collect()))])
}

/// The shape two inputs broadcast to: aligned at the last axis, an extent of 1 repeats.
fn broadcast(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<usize>> {
    let (x, y) = (&inputs[0].shape, &inputs[1].shape);
    let rank = x.len().max(y.len());
    let extent = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    let both = (0..rank).map(|i| match (extent(x, i), extent(y, i)) {
        (p, q) if p == q || q == 1 => Some(p),
        (1, q) => Some(q),
        _ => None,
    });
    both.collect::<Option<_>>()
        .ok_or_else(|| misfit(a.op, format!("{x:?} and {y:?} do not broadcast")))
}

/// Which element of an array of extents `from` stands at flat position `i` of extents `to`.
fn source(from: &[usize], to: &[usize], mut i: usize) -> usize {
    let (mut at, mut step) = (0, 1);
    for (axis, extent) in to.iter().enumerate().rev() {
        let digit = i % extent;
        i /= extent;
        let Some(j) = (axis + from.len()).checked_sub(to.len()) else { break };
        if from[j] > 1 {
            at += digit * step;
        }
        step *= from[j];
    }
    at
}

fn binary(a: &Attrs<'_>, inputs: &[Array], f: fn(f64, f64) -> f64) -> Result<Vec<Array>> {
    let (x, y) = (&inputs[0], &inputs[1]);
    let mut out = Array::zeros(a.op, broadcast(a, inputs)?)?;
    for i in 0..out.len() {
        let (p, q) = (source(&x.shape, &out.shape, i), source(&y.shape, &out.shape, i));
        out.data[i] = f(x.data[p], y.data[q]);
    }
    Ok(vec![out])
}

/// Each input's gradient: Σ of dout·∂out/∂input over the positions it was repeated to.
fn binary_backward(
    inputs: &[Array],
    dout: &Array,
    slopes: fn(f64, f64) -> (f64, f64),
) -> Result<Vec<Option<Array>>> {
    let (x, y) = (&inputs[0], &inputs[1]);
    let (mut dx, mut dy) = (x.zeros_like(), y.zeros_like());
    for (i, g) in dout.data.iter().enumerate() {
        let (p, q) = (source(&x.shape, &dout.shape, i), source(&y.shape, &dout.shape, i));
        let (sx, sy) = slopes(x.data[p], y.data[q]);
        dx.data[p] += g * sx;
        dy.data[q] += g * sy;
    }
    Ok(vec![Some(dx), Some(dy)])
}
