//! Sums over axes and changes of shape.

use super::{Array, Attrs, OpInfo, dims, misfit};
use crate::error::{Error, Result};

pub(super) const SUM: OpInfo = OpInfo {
    name: "sum",
    inputs: &["input"],
    required: 1,
    attrs: &["dim", "keepdim"],
    outputs: &["output"],
    fixed: &[],
    forward: sum,
    backward: sum_backward,
};

pub(super) const MEAN: OpInfo =
    OpInfo { name: "mean", forward: mean, backward: mean_backward, ..SUM };

pub(super) const RESHAPE: OpInfo = OpInfo {
    name: "reshape",
    inputs: &["input"],
    required: 1,
    attrs: &["shape"],
    outputs: &["output"],
    fixed: &[],
    forward: reshape,
    backward: reshape_backward,
};

pub(super) const ROWS: OpInfo = OpInfo {
    name: "rows",
    inputs: &["input"],
    required: 1,
    attrs: &["first", "count"],
    outputs: &["output"],
    fixed: &[],
    forward: rows,
    backward: rows_backward,
};

pub(super) const SHORTCUT_A: OpInfo = OpInfo {
    name: "shortcut_a",
    inputs: &["input"],
    required: 1,
    attrs: &["planes", "stride"],
    outputs: &["output"],
    fixed: &[],
    forward: shortcut_a,
    backward: shortcut_a_backward,
};

/// A reduction over some axes.
struct Reduction {
    /// The output's shape.
    shape: Vec<usize>,
    /// For each input element, the output element it is summed into.
    into: Vec<usize>,
    /// How many elements are summed into one.
    count: usize,
}

fn reduction(a: &Attrs<'_>, x: &Array) -> Result<Reduction> {
    let rank = x.shape.len();
    let axes = a.axes("dim", rank)?.filter(|axes| !axes.is_empty());
    let axes = axes.unwrap_or_else(|| (0..rank).collect());
    let keepdim = a.flag("keepdim", false)?;
    let mut shape = Vec::new();
    for (i, d) in x.shape.iter().enumerate() {
        match axes.contains(&i) {
            false => shape.push(*d),
            true if keepdim => shape.push(1),
            true => {}
        }
    }
    let into = (0..x.len()).map(|i| {
        let (mut rest, mut at, mut step) = (i, 0, 1);
        for (axis, d) in x.shape.iter().enumerate().rev() {
            if !axes.contains(&axis) {
                at += rest % d * step;
                step *= d;
            }
            rest /= d;
        }
        at
    });
    let count = axes.iter().map(|axis| x.shape[*axis]).product();
    Ok(Reduction { shape, into: into.collect(), count })
}

/// y = Σ of x over the axes `dim` (all when absent).
fn sum(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let r = reduction(a, &inputs[0])?;
    let mut y = Array::zeros(a.op, r.shape)?;
    for (v, at) in inputs[0].data.iter().zip(r.into) {
        y.data[at] += v;
    }
    Ok(vec![y])
}

/// dx = dy, repeated along the summed axes.
fn sum_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let r = reduction(a, &inputs[0])?;
    let dx = r.into.iter().map(|at| dy.data[*at]).collect();
    Ok(vec![Some(Array::new(inputs[0].shape.clone(), dx))])
}

/// y = mean of x over the axes `dim` (all when absent).
fn mean(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let count = reduction(a, &inputs[0])?.count as f64;
    let mut found = sum(a, inputs)?;
    found[0].data.iter_mut().for_each(|v| *v /= count);
    Ok(found)
}

/// dx = dy / count, repeated along the averaged axes.
fn mean_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let count = reduction(a, &inputs[0])?.count as f64;
    let mut found = sum_backward(a, inputs, dy)?;
    found[0].iter_mut().for_each(|dx| dx.data.iter_mut().for_each(|v| *v /= count));
    Ok(found)
}

/// The same elements under the extents `shape`, one of which may be −1: what is left over.
fn reshape(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let x = &inputs[0];
    a.present("shape")?;
    let wanted = a.integers("shape")?.unwrap_or_default();
    let given = wanted.iter().filter(|d| **d != -1);
    let given = given.map(|d| usize::try_from(*d).ok()).try_fold(1usize, |n, d| n.checked_mul(d?));
    let open = wanted.iter().filter(|d| **d == -1).count();
    let rest = given.filter(|n| *n > 0 && x.len().is_multiple_of(*n)).map(|n| x.len() / n);
    let Some(rest) = rest.filter(|r| open == 1 || (open == 0 && *r == 1)) else {
        return Err(misfit(a.op, format!("{:?} cannot become {wanted:?}", x.shape)));
    };
    let shape: Vec<usize> = wanted.iter().map(|d| usize::try_from(*d).unwrap_or(rest)).collect();
    Ok(vec![Array::new(shape, x.data.clone())])
}

/// dx = dy under x's shape.
fn reshape_backward(_: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    Ok(vec![Some(Array::new(inputs[0].shape.clone(), dy.data.clone()))])
}

/// The output's shape, and where its elements begin in the input.
fn run(a: &Attrs<'_>, x: &Array) -> Result<(Vec<usize>, usize)> {
    let (first, count) = (a.size("first", 0)?, a.required_size("count")?);
    let mut shape = x.shape.clone();
    match shape.first_mut() {
        Some(n) if count > 0 && first.saturating_add(count) <= *n => *n = count,
        _ => return Err(misfit(a.op, format!("no {count} rows from {first} on"))),
    }
    let each = x.len() / x.shape[0];
    Ok((shape, first * each))
}

/// Entries first..first + count of the first axis.
fn rows(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let (shape, from) = run(a, &inputs[0])?;
    let len: usize = shape.iter().product();
    Ok(vec![Array::new(shape, inputs[0].data[from..from + len].to_vec())])
}

/// dx = dy in these entries, 0 in the others.
fn rows_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let (_, from) = run(a, &inputs[0])?;
    let mut dx = inputs[0].zeros_like();
    dx.data[from..from + dy.len()].copy_from_slice(&dy.data);
    Ok(vec![Some(dx)])
}

/// The output's shape, and for every output element the input element it copies (None: zero).
fn shortcut(a: &Attrs<'_>, x: &Array) -> Result<(Vec<usize>, Vec<Option<usize>>)> {
    let [n, c, h, w] = dims(a.op, "input", x)?;
    let planes = a.required_size("planes")?;
    let stride = a.size("stride", 2)?;
    if stride == 0 {
        return Err(Error::Usage(format!("{}: attribute `stride` must be at least 1", a.op)));
    }
    if planes < c || (planes - c) % 2 != 0 {
        return Err(misfit(
            a.op,
            format!("{planes} planes from {c} channels: as many zero channels go before as after"),
        ));
    }
    let shape = vec![n, planes, h.div_ceil(stride), w.div_ceil(stride)];
    let before = (planes - c) / 2;
    let len = Array::zeros(a.op, shape.clone())?.len();
    let from = (0..len).map(|i| {
        let (q, i) = (i % shape[3], i / shape[3]);
        let (p, i) = (i % shape[2], i / shape[2]);
        let (o, b) = (i % planes, i / planes);
        let channel = o.checked_sub(before).filter(|k| *k < c)?;
        Some(((b * c + channel) * h + p * stride) * w + q * stride)
    });
    Ok((shape.clone(), from.collect()))
}

/// The option-A shortcut of CIFAR ResNets: y\[n, before + c, p, q\] = x\[n, c, p·stride, q·stride\]
/// with before = (planes − C)/2, and 0 in the channels before and after.
fn shortcut_a(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let (shape, from) = shortcut(a, &inputs[0])?;
    let y = from.iter().map(|i| i.map_or(0.0, |i| inputs[0].data[i]));
    Ok(vec![Array::new(shape, y.collect())])
}

/// dx = dy where x was copied to, 0 elsewhere.
fn shortcut_a_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let mut dx = inputs[0].zeros_like();
    for (i, g) in shortcut(a, &inputs[0])?.1.iter().zip(&dy.data) {
        if let Some(i) = i {
            dx.data[*i] += g;
        }
    }
    Ok(vec![Some(dx)])
}
