//! The benches: convolutions of the CIFAR ResNet-32 and `small` at batch 128 and of the ImageNet ResNet-50 at
//! batch 8, matrix products, BN and NBN, cross-entropy, the optimizer, elementwise ops, reductions.

use super::{Bench, Choice};
use crate::check::cases::{self, Case, Fill, InputSpec, splitmix64};
use crate::check::device::{self, Place};
use crate::check::golden::Tolerance;
use crate::check::reference::Array;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::{Effect, Work, vjp};
use crate::ops::{self, Affine, Conv2dOptions, CrossEntropy, Normalization};
use crate::tensor::Tensor;
use evenkeel_kernels::conv2d::{Conv2d, Direction};
use evenkeel_kernels::matmul::Matmul;
use evenkeel_kernels::optim;
use serde_json::{Value, json};
use std::rc::Rc;

/// Images in the small batch that the reference computes.
const SMALL: usize = 2;

/// The op of a case, with its gradients, at the case's own size.
fn of_case(case: Case) -> Bench {
    let own = case.clone();
    let trace = move |gpu: &Rc<Gpu>| -> Result<Work> {
        let inputs = own.inputs();
        let recorded = |grad| device::trace(gpu, own.op, &own.attrs, &inputs, grad);
        let mut traced = recorded(None)?;
        if own.grad {
            let shape = traced.wanted[0].dims();
            let like = Array::new(shape, vec![0.0; shape.iter().product()]);
            let grads = own.grad_outs(&[like]);
            traced = recorded(Some((&grads[0], Place::End)))?;
        }
        let mut work = Work::new();
        traced.wanted.iter().for_each(|t| {
            work.keep(t);
        });
        Ok(work)
    };
    let name = format!("case/{}", case.name);
    Bench { name, family: "cases", choice: Choice::One, case: Some(case), trace: Box::new(trace) }
}

/// Every bench.
pub fn all() -> Vec<Bench> {
    let mut found = Vec::new();
    // (input channels, height and width, output channels, kernel, stride)
    for (ci, size, co, k, stride) in [
        (3, 32, 16, 3, 1),
        (16, 32, 16, 3, 1),
        (16, 32, 32, 3, 2),
        (32, 16, 32, 3, 1),
        (32, 16, 64, 3, 2),
        (64, 8, 64, 3, 1),
    ] {
        found.extend(convolutions("conv", 128, (ci, size, co), k, stride));
    }
    // `small`, the network of the first command in the README
    for (ci, size, co, stride) in [
        (3, 32, 8, 1),
        (8, 32, 8, 1),
        (8, 32, 16, 2),
        (16, 16, 16, 1),
        (16, 16, 32, 2),
        (32, 8, 32, 1),
    ] {
        found.extend(convolutions("small", 128, (ci, size, co), 3, stride));
    }
    for (ci, size, co, k, stride) in [
        (3, 224, 64, 7, 2),
        (64, 56, 64, 1, 1),
        (64, 56, 64, 3, 1),
        (64, 56, 256, 1, 1),
        (256, 56, 512, 1, 2),
        (128, 56, 128, 3, 2),
        (128, 28, 128, 3, 1),
        (512, 28, 128, 1, 1),
        (256, 14, 256, 3, 1),
        (1024, 14, 256, 1, 1),
        (512, 7, 512, 3, 1),
        (512, 7, 2048, 1, 1),
    ] {
        found.extend(convolutions("imagenet", 8, (ci, size, co), k, stride));
    }
    found.extend([matmul(512, 512, 512), matmul(1024, 1024, 1024), matmul(128, 10, 64)]);
    for shape in [[32, 64, 32, 32], [128, 16, 32, 32], [128, 32, 16, 16], [128, 64, 8, 8]] {
        found.extend([batch_norm(shape, false), batch_norm(shape, true)]);
    }
    found.extend([10, 100, 1000].map(|classes| cross_entropy(128, classes)));
    found.push(sgd(469_504));
    found.extend([
        pointwise("relu", [128, 16, 32, 32], |x, _| ops::unary("relu", x)),
        pointwise("add", [128, 16, 32, 32], |x, y| ops::binary("add", x, y)),
        pointwise("mul", [128, 16, 32, 32], |x, y| ops::binary("mul", x, y)),
    ]);
    found.extend([sum(&[2048, 1024], &[1]), sum(&[2048, 1024], &[0]), sum(&[2048, 1024], &[0, 1])]);
    found.extend(cases::all().into_iter().map(of_case));
    found
}

fn extents(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// Numbers between −1 and 1, each a function of its place and `key`.
fn noise(gpu: &Rc<Gpu>, shape: &[usize], key: u64) -> Result<Tensor> {
    let len: usize = shape.iter().product();
    let value = |i: u64| (splitmix64(i ^ (key << 40)) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let data: Vec<f32> = (0..len as u64).map(value).collect();
    Tensor::new(gpu, &data, shape.to_vec())
}

/// A case for the reference; sums have at most `terms` terms of about 1.
fn case(op: &'static str, attrs: Value, inputs: &[&[usize]], terms: usize) -> Case {
    let input = |shape: &&[usize]| InputSpec {
        shape: shape.to_vec(),
        fill: Fill::Normal { mean: 0.0, sd: 1.0 },
    };
    let shapes: Vec<String> = inputs.iter().map(|s| extents(s)).collect();
    let tolerance = Tolerance { rtol: 1e-5, atol: (1.5e-7 * terms as f64).max(1e-5) };
    Case {
        name: format!("{op}/bench {} {attrs}", shapes.join(" ")),
        op,
        attrs,
        inputs: inputs.iter().map(input).collect(),
        tolerance,
        grad_tolerance: tolerance,
        grad: true,
    }
}

fn no_gradient() -> Error {
    Error::Failure("the op gave no gradient".into())
}

/// Keeps the gradients of Σ `y`·noise with respect to `wrt`.
fn backward(work: &mut Work, gpu: &Rc<Gpu>, y: &Tensor, wrt: &[&Tensor]) -> Result<()> {
    let seed = noise(gpu, y.dims(), 99)?;
    for found in vjp(&[(y.clone(), seed)], wrt)? {
        work.keep(&found.ok_or_else(no_gradient)?);
    }
    Ok(())
}

/// The three products of a square convolution that keeps its extent (divided by the stride).
fn convolutions(
    family: &'static str,
    n: usize,
    (ci, size, co): (usize, usize, usize),
    k: usize,
    stride: usize,
) -> [Bench; 3] {
    let options =
        Conv2dOptions { stride: [stride; 2], padding: [k / 2; 2], ..Conv2dOptions::default() };
    let out = (size + 2 * (k / 2) - k) / stride + 1;
    let (x, w) = ([n, ci, size, size], [co, ci, k, k]);
    let shape = Conv2d {
        n: n as u32,
        ci: ci as u32,
        h: size as u32,
        w: size as u32,
        co: co as u32,
        kh: k as u32,
        kw: k as u32,
        stride: [stride as u32; 2],
        pad: [k as u32 / 2; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let mut what = String::new();
    if co != ci {
        what += &format!("_to{co}");
    }
    if stride != 1 {
        what += &format!("_s{stride}");
    }
    let directions = [
        (Direction::Forward, "fwd"),
        (Direction::BackwardData, "bwd_data"),
        (Direction::BackwardWeights, "bwd_weight"),
    ];
    directions.map(|(direction, label)| {
        let attrs = json!({"stride": stride, "padding": k / 2});
        let small: [&[usize]; 2] = [&[SMALL, ci, size, size], &w];
        let terms = (ci.max(co) * k * k).max(SMALL * out * out);
        Bench {
            name: format!("conv{k}x{k}_{label}_{}{what}", extents(&x)),
            family,
            choice: Choice::Conv(shape, direction),
            case: Some(case("conv2d", attrs, &small, terms)),
            trace: Box::new(move |gpu| {
                let (x, w) = (noise(gpu, &x, 1)?, noise(gpu, &w, 2)?);
                let y = ops::conv2d(&x, &w, options)?;
                let mut work = Work::new();
                match direction {
                    Direction::Forward => {
                        work.keep(&y);
                    }
                    Direction::BackwardData => backward(&mut work, gpu, &y, &[&x])?,
                    Direction::BackwardWeights => backward(&mut work, gpu, &y, &[&w])?,
                }
                Ok(work)
            }),
        }
    })
}

fn matmul(m: usize, n: usize, k: usize) -> Bench {
    let shape = Matmul {
        batch: 1,
        m: m as u32,
        n: n as u32,
        k: k as u32,
        transpose_a: false,
        transpose_b: false,
        bias: false,
    };
    let mut case = case("matmul", json!({}), &[&[m, k], &[k, n]], k);
    // The reference's gradients of the large ones would take longer than all else; `check` has them.
    case.grad = m * n * k <= 1 << 20;
    Bench {
        name: format!("matmul_{}", extents(&[m, n, k])),
        family: "matmul",
        choice: Choice::Matmul(shape),
        case: Some(case),
        trace: Box::new(move |gpu| {
            let mut work = Work::new();
            work.keep(&ops::matmul(&noise(gpu, &[m, k], 1)?, &noise(gpu, &[k, n], 2)?)?);
            Ok(work)
        }),
    }
}

fn batch_norm(shape: [usize; 4], normalized: bool) -> Bench {
    let c = shape[1];
    let small = [SMALL, c, shape[2], shape[3]];
    let (op, label) =
        if normalized { ("normalized_batch_norm", "nbn") } else { ("batch_norm", "bn") };
    let mut inputs: Vec<&[usize]> = vec![&small];
    let channels = [c];
    inputs.extend([&channels[..]; 4]);
    if normalized {
        inputs.push(&[1]);
    }
    let mut case = case(op, json!({"training": true}), &inputs, SMALL * shape[2] * shape[3]);
    case.inputs[2].fill = Fill::Uniform { low: 0.5, high: 2.0 };
    Bench {
        name: format!("{label}_fwd_bwd_{}", extents(&shape)),
        family: "bn",
        choice: Choice::One,
        case: Some(case),
        trace: Box::new(move |gpu| {
            let x = noise(gpu, &shape, 1)?;
            let (gamma, beta) = (noise(gpu, &[c], 2)?, noise(gpu, &[c], 3)?);
            let alpha = noise(gpu, &[1], 4)?;
            let affine = if normalized {
                Affine::Normalized { gamma: &gamma, beta: &beta, alpha: &alpha, eps: 1e-6 }
            } else {
                Affine::Plain { weight: &gamma, bias: &beta }
            };
            let norm =
                Normalization { affine, eps: 1e-5, residual: None, relu: false, synced: false };
            let made = ops::batch_norm_train(&x, &norm)?;
            let mut work = Work::new();
            work.keep(&made.y).keep(&made.mean).keep(&made.variance);
            let wrt = [&x, &gamma, &beta, &alpha];
            backward(&mut work, gpu, &made.y, &wrt[..if normalized { 4 } else { 3 }])?;
            Ok(work)
        }),
    }
}

fn cross_entropy(n: usize, classes: usize) -> Bench {
    let mut case = case("cross_entropy", json!({}), &[&[n, classes], &[n]], classes);
    case.inputs[1].fill = Fill::Labels { classes };
    Bench {
        name: format!("softmax_ce_fwd_bwd_{}", extents(&[n, classes])),
        family: "ce",
        choice: Choice::One,
        case: Some(case),
        trace: Box::new(move |gpu| {
            let logits = noise(gpu, &[n, classes], 1)?;
            let labels: Vec<u32> = (0..n).map(|i| ((i * 37) % classes) as u32).collect();
            let labels = Tensor::integers(gpu, &labels, [n])?;
            let loss = ops::cross_entropy(&logits, &labels, &CrossEntropy::default())?;
            let mut work = Work::new();
            work.keep(&loss);
            let found = crate::graph::grad(&loss, &[&logits])?.remove(0);
            work.keep(&found.ok_or_else(no_gradient)?);
            Ok(work)
        }),
    }
}

fn pointwise(
    op: &'static str,
    shape: [usize; 4],
    apply: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + 'static,
) -> Bench {
    let small = [SMALL, shape[1], shape[2], shape[3]];
    let inputs: &[&[usize]] = if op == "relu" { &[&small] } else { &[&small, &small] };
    Bench {
        name: format!("{op}_{}", extents(&shape)),
        family: "elementwise",
        choice: Choice::One,
        case: Some(case(op, json!({}), inputs, 1)),
        trace: Box::new(move |gpu| {
            let mut work = Work::new();
            work.keep(&apply(&noise(gpu, &shape, 1)?, &noise(gpu, &shape, 2)?)?);
            Ok(work)
        }),
    }
}

fn sum(shape: &[usize], axes: &[usize]) -> Bench {
    let (shape, axes) = (shape.to_vec(), axes.to_vec());
    let terms = axes.iter().map(|a| shape[*a]).product();
    let over = if axes.len() == shape.len() { "all".into() } else { format!("axis{}", axes[0]) };
    Bench {
        name: format!("sum_{over}_{}", extents(&shape)),
        family: "reduce",
        choice: Choice::One,
        case: Some(case("sum", json!({"dim": axes.clone()}), &[&shape], terms)),
        trace: Box::new(move |gpu| {
            let mut work = Work::new();
            work.keep(&ops::sum(&noise(gpu, &shape, 1)?, &axes, false)?);
            Ok(work)
        }),
    }
}

/// The optimizer's update of as many words as a ResNet-32 has, rounded up to blocks. No reference
/// knows it: PyTorch's trajectories do (`docs/golden.md`).
fn sgd(words: usize) -> Bench {
    Bench {
        name: format!("sgd_{words}"),
        family: "sgd",
        choice: Choice::One,
        case: None,
        trace: Box::new(move |gpu| {
            let group = optim::Group { weight_decay: 2e-4, lr_scale: 1.0 };
            let update = optim::Sgd {
                words: words as u32,
                momentum: 0.9,
                nesterov: false,
                groups: vec![group],
            };
            let flat = |key| noise(gpu, &[words], key);
            let blocks = words / optim::BLOCK as usize;
            let mut work = Work::new();
            work.effect(Effect {
                name: "sgd",
                program: optim::sgd(&update, &gpu.caps),
                args: vec![
                    flat(1)?,
                    flat(2)?,
                    flat(3)?,
                    Tensor::integers(gpu, &vec![0; blocks], [blocks])?,
                    Tensor::integers(gpu, &[0; optim::FLAG_WORDS], [optim::FLAG_WORDS])?,
                ],
            });
            Ok(work)
        }),
    }
}
