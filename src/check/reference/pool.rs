//! Pooling.

use super::{Array, Attrs, OpInfo, dims, misfit};
use crate::error::{Error, Result};

pub(super) const MAX_POOL2D: OpInfo = OpInfo {
    name: "max_pool2d",
    inputs: &["input"],
    required: 1,
    attrs: &["kernel_size", "stride", "padding", "dilation", "ceil_mode"],
    outputs: &["output"],
    fixed: &[],
    forward: max_pool,
    backward: max_pool_backward,
};

pub(super) const AVG_POOL2D: OpInfo = OpInfo {
    name: "avg_pool2d",
    inputs: &["input"],
    required: 1,
    attrs: &["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"],
    outputs: &["output"],
    fixed: &[],
    forward: avg_pool,
    backward: avg_pool_backward,
};

pub(super) const GLOBAL_AVG_POOL: OpInfo = OpInfo {
    name: "global_avg_pool",
    inputs: &["input"],
    required: 1,
    attrs: &[],
    outputs: &["output"],
    fixed: &[],
    forward: global_avg_pool,
    backward: global_avg_pool_backward,
};

/// Which input elements each output is made from.
struct Windows {
    /// The input's H, W.
    plane: [usize; 2],
    /// The output's shape.
    shape: Vec<usize>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

fn windows(a: &Attrs<'_>, x: &Array) -> Result<Windows> {
    let [n, c, h, w] = dims(a.op, "input", x)?;
    a.present("kernel_size")?;
    let kernel = a.positive_pair("kernel_size", [1, 1])?;
    let stride = a.positive_pair("stride", kernel)?;
    let padding = a.pair("padding", [0, 0])?;
    // avg_pool2d has no such attribute, so it is 1 there.
    if a.pair("dilation", [1, 1])? != [1, 1] {
        return Err(Error::Usage(format!("{}: `dilation` other than 1 is not supported", a.op)));
    }
    if a.flag("ceil_mode", false)? {
        return Err(Error::Usage(format!("{}: `ceil_mode` true is not supported", a.op)));
    }
    let mut out = [0, 0];
    for (i, size) in [h, w].into_iter().enumerate() {
        if size + 2 * padding[i] < kernel[i] || 2 * padding[i] > kernel[i] {
            let text = format!(
                "a window of {kernel:?} with padding {padding:?} does not fit {:?} (padding is at \
                 most half the window)",
                x.shape
            );
            return Err(misfit(a.op, text));
        }
        out[i] = (size + 2 * padding[i] - kernel[i]) / stride[i] + 1;
    }
    let shape = Array::zeros(a.op, vec![n, c, out[0], out[1]])?.shape;
    Ok(Windows { plane: [h, w], shape, kernel, stride, padding })
}

impl Windows {
    /// The number of outputs.
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The input positions in output `i`'s window, row by row; padding is left out.
    fn window(&self, i: usize) -> Vec<usize> {
        let (plane, at) =
            (i / (self.shape[2] * self.shape[3]), i % (self.shape[2] * self.shape[3]));
        let [h, w] = self.plane;
        let cols = self.line(1, at % self.shape[3]);
        let rows = self.line(0, at / self.shape[3]);
        rows.flat_map(|r| cols.clone().map(move |s| (plane * h + r) * w + s)).collect()
    }

    /// The input rows (axis 0) or columns (1) of the window at output row or column `at`.
    fn line(&self, axis: usize, at: usize) -> std::ops::Range<usize> {
        let (first, padding) = (at * self.stride[axis], self.padding[axis]);
        let end = (first + self.kernel[axis]).saturating_sub(padding);
        first.saturating_sub(padding)..end.min(self.plane[axis])
    }
}

/// The position of a window's maximum: the first of equals; NaN wins.
fn argmax(x: &[f64], window: &[usize]) -> usize {
    let mut best = window[0];
    for i in window {
        if x[*i] > x[best] || x[*i].is_nan() {
            best = *i;
        }
    }
    best
}

/// y = maximum of the window; padding never wins.
fn max_pool(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let (x, windows) = (&inputs[0].data, windows(a, &inputs[0])?);
    let y = (0..windows.len()).map(|i| x[argmax(x, &windows.window(i))]).collect();
    Ok(vec![Array::new(windows.shape, y)])
}

/// dx at the window's (first) maximum gains dy.
fn max_pool_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let windows = windows(a, &inputs[0])?;
    let mut dx = inputs[0].zeros_like();
    for (i, g) in dy.data.iter().enumerate() {
        dx.data[argmax(&inputs[0].data, &windows.window(i))] += g;
    }
    Ok(vec![Some(dx)])
}

/// What a window's sum is divided by: the kernel's size, or with `count_include_pad` false the
/// number of elements inside.
///
/// PyTorch clips a window at the padded edge before counting; without `ceil_mode` no window
/// reaches beyond it.
fn divisor(a: &Attrs<'_>, window: &[usize]) -> Result<f64> {
    let [rows, cols] = a.pair("kernel_size", [1, 1])?;
    let all = a.flag("count_include_pad", true)?;
    Ok(if all { rows * cols } else { window.len() } as f64)
}

/// y = Σ of the window / its divisor.
fn avg_pool(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let (x, windows) = (&inputs[0].data, windows(a, &inputs[0])?);
    let mut y = Vec::new();
    for i in 0..windows.len() {
        let window = windows.window(i);
        y.push(window.iter().map(|j| x[*j]).sum::<f64>() / divisor(a, &window)?);
    }
    Ok(vec![Array::new(windows.shape, y)])
}

/// dx at every element of the window gains dy / its divisor.
fn avg_pool_backward(a: &Attrs<'_>, inputs: &[Array], dy: &Array) -> Result<Vec<Option<Array>>> {
    let windows = windows(a, &inputs[0])?;
    let mut dx = inputs[0].zeros_like();
    for (i, g) in dy.data.iter().enumerate() {
        let window = windows.window(i);
        let share = g / divisor(a, &window)?;
        window.iter().for_each(|j| dx.data[*j] += share);
    }
    Ok(vec![Some(dx)])
}

/// y\[n,c\] = mean of x\[n,c,·,·\].
fn global_avg_pool(a: &Attrs<'_>, inputs: &[Array]) -> Result<Vec<Array>> {
    let [n, c, h, w] = dims(a.op, "input", &inputs[0])?;
    let mean = |plane: &[f64]| plane.iter().sum::<f64>() / (h * w) as f64;
    Ok(vec![Array::new([n, c], inputs[0].data.chunks(h * w).map(mean).collect())])
}

/// dx\[n,c,·,·\] = dy\[n,c\] / (H·W).
fn global_avg_pool_backward(
    a: &Attrs<'_>,
    inputs: &[Array],
    dy: &Array,
) -> Result<Vec<Option<Array>>> {
    let [.., h, w] = dims::<4>(a.op, "input", &inputs[0])?;
    let mut dx = inputs[0].zeros_like();
    for (i, v) in dx.data.iter_mut().enumerate() {
        *v = dy.data[i / (h * w)] / (h * w) as f64;
    }
    Ok(vec![Some(dx)])
}
