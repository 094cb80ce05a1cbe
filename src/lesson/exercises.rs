//! The exercises that ask for a kernel, in the book's order. Each: trials on shapes from one element to
//! ragged to large, the outputs by the reference, and the engine's work for the same.

use super::exercise::{
    Exercise, Grid, Trial, about, constant, cost, effect, extents, normal, product,
};
use crate::check::cases::{Fill, InputSpec};
use crate::check::reference::{self, Array};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::{Work, grad, vjp};
use crate::ops::{self, Affine, Conv2dOptions, CrossEntropy, Normalization};
use crate::tensor::Tensor;
use evenkeel_kernels::batchnorm::{self, BatchNorm};
use evenkeel_kernels::elementwise;
use serde_json::json;
use std::rc::Rc;

/// The text of `docs/book/exercises/NAME.wgsl`.
macro_rules! starter {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/book/exercises/", $name, ".wgsl"))
    };
}

/// y\[n, h, w, c\] = x\[n, c, h, w\].
pub const LAYOUT: Exercise = Exercise {
    starter: starter!("layout"),
    sizes: &["N", "C", "H", "W"],
    inputs: &["x"],
    outputs: &["y"],
    grid: Grid::Invocations(|s| [product(s) as u32, 1, 1]),
    trials: || {
        let shapes = [[1, 1, 1, 1], [1, 3, 1, 1], [2, 3, 4, 5], [3, 7, 5, 1], [32, 16, 32, 32]];
        shapes.map(|s| Trial::new(&s, [normal(extents(&s), 1.0)]).within(0.0, 0.0)).into()
    },
    expected: |s, x| {
        let [n, c, h, w] = [0, 1, 2, 3].map(|i| s[i] as usize);
        let mut y = vec![0.0; n * c * h * w];
        for (i, v) in x[0].data.iter().enumerate() {
            let (image, channel, pixel) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
            y[(image * h * w + pixel) * c + channel] = *v;
        }
        Ok(vec![Array::new([n, h, w, c], y)])
    },
    cost: |s| cost(0, product(s), product(s)),
    engine: |gpu, s, x| {
        let strides = [s[1] * s[2] * s[3], s[3], 1, s[2] * s[3]];
        let program = elementwise::permute(&[s[0], s[2], s[3], s[1]], &strides);
        let program = program.ok_or_else(|| Error::Failure("no permutation".into()))?;
        effect(gpu, program, x, &[product(s) as usize])
    },
};

/// c = a b.
pub const LAUNCH: Exercise = Exercise {
    starter: starter!("launch"),
    sizes: &["M", "N", "K"],
    inputs: &["a", "b"],
    outputs: &["c"],
    grid: Grid::Invocations(|s| [s[1], s[0], 1]),
    trials: || {
        let shapes =
            [[1, 1, 1], [5, 1, 9], [7, 3, 5], [33, 65, 17], [64, 64, 64], [1, 129, 64], [256; 3]];
        let of = |[m, n, k]: [u32; 3]| {
            let sd = 1.0 / f64::from(k).sqrt();
            Trial::new(&[m, n, k], [normal(extents(&[m, k]), 1.0), normal(extents(&[k, n]), sd)])
        };
        shapes.map(of).into()
    },
    expected: |_, x| reference::run("matmul", &json!({}), x),
    cost: |s| {
        let [m, n, k] = [0, 1, 2].map(|i| u64::from(s[i]));
        cost(2 * m * n * k, m * k + k * n, m * n)
    },
    engine: |_, _, x| kept([ops::matmul(&x[0], &x[1])?]),
};

/// y\[r\] = Σ x\[r, ·\].
pub const REDUCTIONS: Exercise = Exercise {
    starter: starter!("reductions"),
    sizes: &["ROWS", "COLS"],
    inputs: &["x"],
    outputs: &["y"],
    grid: Grid::Workgroups(|s| [s[0], 1, 1]),
    trials: || {
        let shapes = [[1, 1], [3, 7], [5, 64], [2, 1000], [17, 257], [1, 4099], [512, 4096]];
        // One after the other, the terms of a long row add up to more error than this.
        let of = |s: [u32; 2]| Trial::new(&s, [about(extents(&s), 1.0, 1.0)]).within(5e-7, 1e-6);
        shapes.map(of).into()
    },
    expected: |_, x| reference::run("sum", &json!({"dim": [1]}), x),
    cost: |s| cost(product(s), product(s), u64::from(s[0])),
    engine: |_, _, x| kept([ops::sum(&x[0], &[1], false)?]),
};

/// loss\[n\] = log Σ exp z\[n, ·\] − z\[n, label\], and dz, the gradient of the rows' mean.
pub const CROSS_ENTROPY: Exercise = Exercise {
    starter: starter!("cross-entropy"),
    sizes: &["N", "C"],
    inputs: &["z", "labels"],
    outputs: &["loss", "dz"],
    grid: Grid::Workgroups(|s| [s[0], 1, 1]),
    trials: || {
        let of = |s: [u32; 2], sd: f64| {
            let labels = InputSpec {
                shape: extents(&s[..1]),
                fill: Fill::Labels { classes: s[1] as usize },
            };
            Trial::new(&s, [normal(extents(&s), sd), labels])
        };
        let shapes = [[1, 1], [4, 2], [16, 10], [9, 33], [3, 1000]];
        let mut trials: Vec<Trial> = shapes.map(|s| of(s, 2.0)).into();
        trials.push(of([6, 12], 1000.0).note("logits of about 1000"));
        trials.push(of([256, 100], 2.0));
        trials
    },
    expected: |s, x| {
        let rows = reference::run("cross_entropy", &json!({"reduction": "none"}), x)?;
        let one = Array::scalar(1.0);
        let dz = reference::grads("cross_entropy", &json!({}), x, &[one])?.swap_remove(0);
        let dz = dz.unwrap_or_else(|| Array::new(extents(s), Vec::new()));
        Ok(vec![rows[0].clone(), dz])
    },
    // A difference, an exponential and a sum; its product with 1/sum.
    cost: |s| cost(5 * product(s), product(s) + u64::from(s[0]), product(s) + u64::from(s[0])),
    engine: |_, _, x| {
        let loss = ops::cross_entropy(&x[0], &x[1], &CrossEntropy::default())?;
        let dz = grad(&loss, &[&x[0]])?;
        kept([Some(loss)].into_iter().chain(dz).flatten())
    },
};

const SAME: Conv2dOptions =
    Conv2dOptions { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

/// dx of a 3×3 convolution with stride and padding 1.
pub const CONVOLUTION: Exercise = Exercise {
    starter: starter!("convolution"),
    sizes: &["N", "CI", "CO", "H", "W"],
    inputs: &["dy", "w"],
    outputs: &["dx"],
    grid: Grid::Invocations(|s| [s[4], s[3], s[0] * s[1]]),
    trials: || {
        let of = |s: [u32; 5]| {
            let [n, ci, co, h, w] = s;
            let sd = 1.0 / f64::from(9 * co).sqrt();
            let (dy, weights) = (extents(&[n, co, h, w]), extents(&[co, ci, 3, 3]));
            Trial::new(&s, [normal(dy, 1.0), normal(weights, sd)])
        };
        let shapes = [
            [1, 1, 1, 1, 1],
            [1, 1, 1, 3, 3],
            [2, 3, 5, 4, 7],
            [1, 4, 2, 1, 9],
            [3, 2, 4, 8, 2],
            [4, 16, 16, 32, 32],
        ];
        shapes.map(of).into()
    },
    expected: |s, x| {
        let shape = extents(&[s[0], s[1], s[3], s[4]]);
        // dx does not depend on x.
        let zeros = Array::new(shape.clone(), vec![0.0; shape.iter().product()]);
        let inputs = [zeros, x[1].clone()];
        let found = reference::grads("conv2d", &json!({"padding": 1}), &inputs, &x[..1])?;
        Ok(found.into_iter().take(1).flatten().collect())
    },
    cost: |s| {
        let [n, ci, co, h, w] = [0, 1, 2, 3, 4].map(|i| u64::from(s[i]));
        cost(18 * n * ci * co * h * w, co * (n * h * w + 9 * ci), n * ci * h * w)
    },
    engine: |gpu, s, x| {
        let shape = extents(&[s[0], s[1], s[3], s[4]]);
        let zeros = Tensor::new(gpu, &vec![0.0; shape.iter().product()], shape)?;
        let y = ops::conv2d(&zeros, &x[1], SAME)?;
        kept(vjp(&[(y, x[0].clone())], &[&zeros])?.into_iter().flatten())
    },
};

/// y, dx, dw and db of batch norm in training, given dy.
pub const BATCH_NORM: Exercise = Exercise {
    starter: starter!("batch-norm"),
    sizes: &["N", "C", "PLANE"],
    inputs: &["x", "w", "b", "dy"],
    outputs: &["y", "dx", "dw", "db"],
    grid: Grid::Workgroups(|s| [s[1], 1, 1]),
    trials: || {
        let of = |s: [u32; 3], mean: f64, sd: f64| {
            let (x, c) = (extents(&s), extents(&s[1..2]));
            let inputs = [about(x.clone(), mean, sd), normal(c.clone(), 1.0), normal(c, 1.0)];
            Trial::new(&s, [&inputs[..], &[normal(x, 1.0)]].concat())
        };
        let terms = |s: &[u32; 3]| f64::from(s[0] * s[2]);
        let shapes = [[2, 1, 2], [13, 6, 1], [1, 4, 15], [3, 5, 63], [4, 2, 61]];
        let mut trials: Vec<Trial> = shapes.map(|s| of(s, 0.0, 1.0).within(1e-4, 1e-4)).into();
        trials.push(of([4, 3, 64], 1000.0, 1.0).note("mean 1000").within(1e-3, 3e-2));
        let large = [32, 16, 256];
        trials.push(of(large, 0.0, 1.0).within(1e-5, 1.5e-7 * terms(&large)));
        trials
    },
    expected: |_, x| {
        let training = json!({"training": true});
        let inputs = with_statistics(x);
        let y = reference::run("batch_norm", &training, &inputs)?.swap_remove(0);
        let found = reference::grads("batch_norm", &training, &inputs, &x[3..])?;
        Ok([Some(y)].into_iter().chain(found).flatten().collect())
    },
    // Forward: difference, square and two sums, then difference, product, multiply-add. Backward: x̂
    // and two sums; two multiply-adds and a product.
    cost: |s| {
        let (elements, c) = (product(s), u64::from(s[1]));
        cost(17 * elements, 2 * elements + 2 * c, 2 * elements + 2 * c)
    },
    engine: |_, s, x| {
        let shape = extents(&[s[0], s[1], s[2], 1]);
        let (input, dy) = (ops::reshape(&x[0], shape.clone())?, ops::reshape(&x[3], shape)?);
        let affine = Affine::Plain { weight: &x[1], bias: &x[2] };
        let norm = Normalization { affine, eps: 1e-5, residual: None, relu: false, synced: false };
        let y = ops::batch_norm_train(&input, &norm)?.y;
        let found = vjp(&[(y.clone(), dy)], &[&x[0], &x[1], &x[2]])?;
        kept([Some(y)].into_iter().chain(found).flatten())
    },
};

/// dγ, dβ and dα of NBN, given the gradients of w and b.
pub const NBN: Exercise = Exercise {
    starter: starter!("nbn"),
    sizes: &["C"],
    inputs: &["gamma", "beta", "alpha", "u_w", "u_b"],
    outputs: &["dgamma", "dbeta", "dalpha"],
    grid: Grid::Workgroups(|_| [1, 1, 1]),
    trials: || {
        let of = |c: u32, gamma: f64, beta: f64| {
            let n = vec![c as usize];
            let vectors = [about(n.clone(), gamma, gamma / 3.0), normal(n.clone(), beta)];
            let gradients = [about([1], 1.0, 0.3), normal(n.clone(), 1.0), normal(n, 1.0)];
            Trial::new(&[c], [&vectors[..], &gradients].concat()).within(1e-5, 2e-5)
        };
        let mut trials: Vec<Trial> = [1, 7, 64, 100, 513].map(|c| of(c, 1.0, 1.0)).into();
        let mut zero = of(64, 1.0, 1.0).note("β = 0").within(1e-5, 1e-5);
        zero.inputs[1] = constant([64], 0.0);
        trials.push(zero);
        trials.push(of(16, 1e-4, 1e-6).note("‖γ‖ and ‖β‖ small").within(1e-4, 1.0));
        trials.push(of(2048, 1.0, 1.0));
        trials
    },
    expected: |_, x| {
        let alpha = x[2].data[0];
        let (dgamma, one) = reference::unit_gradient(&x[0].data, &x[3].data, alpha, 1e-6);
        let (dbeta, other) = reference::unit_gradient(&x[1].data, &x[4].data, alpha, 1e-6);
        Ok(vec![dgamma, dbeta, Array::new([1], vec![one + other])])
    },
    // Two dot products of both vectors; a multiply-add and a product of each.
    cost: |s| cost(14 * u64::from(s[0]), 4 * u64::from(s[0]) + 1, 2 * u64::from(s[0]) + 1),
    engine: nbn_engine,
};

/// The launches of the fused backward that hold NBN, on partial sums of one part.
fn nbn_engine(gpu: &Rc<Gpu>, s: &[u32], x: &[Tensor]) -> Result<Work> {
    let c = s[0] as usize;
    let layer = BatchNorm {
        affine: batchnorm::Affine::Normalized { eps: 1e-6 },
        ..BatchNorm::new(1, s[0], 4)
    };
    let mut program = batchnorm::backward_train(&layer, &gpu.caps);
    let whole = program.calls.len();
    program.calls.retain(|c| c.launch.source.path.ends_with("backward_finalize.wgsl"));
    if program.calls.is_empty() || program.calls.len() == whole {
        return Err(Error::Failure("the backward of NBN has other launches now".into()));
    }
    // Coefficients, then the partials (sum g, sum g x̂, mean, 1/σ), as backward_sums.wgsl leaves them.
    let (u_w, u_b) = (x[3].to_vec()?, x[4].to_vec()?);
    let mut scratch = vec![0.0; 4 * c];
    for (w, b) in u_w.iter().zip(&u_b) {
        scratch.extend([*b, *w, 0.0, 1.0]);
    }
    let scratch = Tensor::new(gpu, &scratch, [8 * c])?;
    let leaves = [scratch, x[0].clone(), x[1].clone(), x[2].clone()];
    for call in &mut program.calls {
        use evenkeel_kernels::Arg::{In, Out};
        call.args = vec![In(0), In(1), In(2), In(3), Out(0), Out(1), Out(2)];
    }
    program.temps.clear();
    effect(gpu, program, &leaves, &[c, c, 1])
}

/// x, running statistics that are not read, weight and bias.
fn with_statistics(x: &[Array]) -> Vec<Array> {
    let c = x[1].len();
    let (zeros, ones) = (Array::new([c], vec![0.0; c]), Array::new([c], vec![1.0; c]));
    vec![x[0].clone(), zeros, ones, x[1].clone(), x[2].clone()]
}

/// Work that computes these.
fn kept(wanted: impl IntoIterator<Item = Tensor>) -> Result<Work> {
    let mut work = Work::new();
    for tensor in wanted {
        work.keep(&tensor);
    }
    Ok(work)
}
