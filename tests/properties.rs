//! Random shapes and attributes of every op, against the 64-bit reference: forward, and gradients at
//! the end and in the middle of a graph, by a kernel variant drawn with them.
//!
//! The usual run draws the same few cases each time, whose shaders a driver's cache then holds.
//! `tools/properties` draws many, from another seed each time: `EVENKEEL_CASES` says how many an op
//! gets, `EVENKEEL_SEED` where they start.

mod common;
#[macro_use]
#[path = "common/ops.rs"]
mod list;

use evenkeel::check::cases::{Case, Fill, InputSpec};
use evenkeel::check::golden::Tolerance;
use evenkeel::check::run;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Value, json};

/// Cases an op gets without `EVENKEEL_CASES`.
const USUAL: u32 = 3;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

/// Draws cases of `op`, and fails with the smallest one found that is off.
fn holds(op: &'static str) {
    let gpu = common::gpu();
    let cases = number("EVENKEEL_CASES").map_or(USUAL, |n| n as u32);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("EVENKEEL_SEED").unwrap_or(0).to_le_bytes());
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let variants = run::variants(op);
    let strategy = (case(op), 0..=variants.len());
    let outcome = TestRunner::new_with_rng(config, rng).run(&strategy, |(case, variant)| {
        let device = match variants.get(variant) {
            Some(name) => gpu.preferring(name),
            None => gpu.clone(),
        };
        let findings = run::case(&device, &case).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(!findings.is_empty(), "nothing was compared");
        match findings.iter().find(|f| !f.report.ok) {
            Some(wrong) => Err(TestCaseError::fail(format!("{}: {}", wrong.what, wrong.report))),
            None => Ok(()),
        }
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (case, variant))) => {
            let variant = variants.get(variant).unwrap_or(&"chosen");
            panic!("{op} {} of {:?} by {variant}: {why}", case.attrs, shapes(&case));
        }
        Err(other) => panic!("{op}: {other}"),
    }
}

fn shapes(case: &Case) -> Vec<&[usize]> {
    case.inputs.iter().map(|i| i.shape.as_slice()).collect()
}

/// A case named by its content, so that its values differ from another's. `terms` is the most numbers
/// about 1 that a gradient adds up: float32 is off by 1.5e-7 per term at worst.
fn made(op: &'static str, attrs: Value, inputs: Vec<InputSpec>, terms: usize) -> Case {
    let shapes: Vec<_> = inputs.iter().map(|i| &i.shape).collect();
    let usual = Tolerance { rtol: 2e-5, atol: 2e-5 };
    Case {
        name: format!("{op}/{attrs}{shapes:?}"),
        op,
        attrs,
        inputs,
        tolerance: usual,
        grad_tolerance: Tolerance { atol: (1.5e-7 * terms as f64).max(usual.atol), ..usual },
        grad: true,
    }
}

fn normal(shape: impl Into<Vec<usize>>, sd: f64) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Normal { mean: 0.0, sd } }
}

fn uniform(shape: impl Into<Vec<usize>>) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Uniform { low: 0.5, high: 2.0 } }
}

fn size(most: usize) -> std::ops::RangeInclusive<usize> {
    1..=most
}

fn case(op: &'static str) -> BoxedStrategy<Case> {
    match op {
        "conv2d" => conv2d(),
        "linear" => (size(40), size(70), size(40), any::<bool>())
            .prop_map(|(n, i, o, bias)| {
                let mut inputs = vec![normal([n, i], 1.0), normal([o, i], 1.0 / (i as f64).sqrt())];
                inputs.extend(bias.then(|| normal([o], 1.0)));
                made("linear", json!({}), inputs, n.max(o))
            })
            .boxed(),
        "matmul" => (size(70), size(70), size(70))
            .prop_map(|(m, k, n)| {
                let inputs = vec![normal([m, k], 1.0), normal([k, n], 1.0 / (k as f64).sqrt())];
                made("matmul", json!({}), inputs, m.max(n))
            })
            .boxed(),
        "batch_norm" | "normalized_batch_norm" => batch_norm(op),
        "add" | "mul" | "sub" | "div" | "maximum" => binary(op),
        "max_pool2d" | "avg_pool2d" => pool(op),
        "global_avg_pool" => plane()
            .prop_map(|x| made("global_avg_pool", json!({}), vec![normal(x, 1.0)], 1))
            .boxed(),
        "softmax" | "log_softmax" => (size(20), size(300), 0.1..30.0)
            .prop_map(move |(n, c, sd)| {
                made(op, json!({"dim": 1}), vec![normal([n, c], sd)], 3 * c)
            })
            .boxed(),
        "cross_entropy" => cross_entropy(),
        "sum" | "mean" => (vec(size(9), 1..5), any::<u8>(), any::<bool>())
            .prop_map(move |(shape, axes, keepdim)| {
                let axes: Vec<usize> = (0..shape.len()).filter(|i| axes >> i & 1 == 1).collect();
                let attrs = match axes.is_empty() {
                    true => json!({"keepdim": keepdim}),
                    false => json!({"dim": axes, "keepdim": keepdim}),
                };
                let mut case = made(op, attrs, vec![normal(shape.clone(), 1.0)], 1);
                case.tolerance.atol = 1e-7 * shape.iter().product::<usize>() as f64 + 1e-5;
                case
            })
            .boxed(),
        "reshape" => vec(size(6), 1..5)
            .prop_map(|shape| {
                let to: Vec<usize> = shape.iter().rev().copied().collect();
                made("reshape", json!({"shape": to}), vec![normal(shape, 1.0)], 1)
            })
            .boxed(),
        "rows" => (vec(size(6), 1..4), size(6), size(6))
            .prop_map(|(mut shape, first, count)| {
                let first = first - 1;
                shape[0] = shape[0].max(first + count);
                let attrs = json!({"first": first, "count": count});
                made("rows", attrs, vec![normal(shape, 1.0)], 1)
            })
            .boxed(),
        "shortcut_a" => (plane(), 0..5usize, size(3))
            .prop_map(|(x, more, stride)| {
                let attrs = json!({"planes": x[1] + 2 * more, "stride": stride});
                made("shortcut_a", attrs, vec![normal(x, 1.0)], 1)
            })
            .boxed(),
        unary => {
            let positive =
                matches!(unary, "log" | "sqrt" | "reciprocal" | "digamma_rest" | "stirling_rest");
            vec(size(12), 0..4)
                .prop_map(move |shape| {
                    let x = if positive { uniform(shape) } else { normal(shape, 2.0) };
                    made(op, json!({}), vec![x], 1)
                })
                .boxed()
        }
    }
}

/// [N, C, H, W]
fn plane() -> impl Strategy<Value = [usize; 4]> {
    (size(5), size(9), size(12), size(12)).prop_map(|(n, c, h, w)| [n, c, h, w])
}

fn conv2d() -> BoxedStrategy<Case> {
    let input = (size(3), size(6), size(14), size(14));
    let weight = (size(3), size(6), size(5), size(5));
    let pair = |most| [size(most), size(most)];
    let options = (pair(3), [0..=3usize, 0..=3usize], pair(2), any::<bool>());
    (input, weight, options)
        .prop_filter_map(
            "the kernel is larger than the padded input",
            |((n, ci, h, w), (groups, co, kh, kw), (stride, padding, dilation, bias))| {
                let fits =
                    |i: usize, k: usize, at: usize| i + 2 * padding[at] > dilation[at] * (k - 1);
                if !fits(h, kh, 0) || !fits(w, kw, 1) {
                    return None;
                }
                let sd = 1.0 / ((ci * kh * kw) as f64).sqrt();
                let mut inputs = vec![
                    normal([n, ci * groups, h, w], 1.0),
                    normal([co * groups, ci, kh, kw], sd),
                ];
                inputs.extend(bias.then(|| normal([co * groups], 1.0)));
                let attrs = json!({"stride": stride, "padding": padding, "dilation": dilation,
                    "groups": groups});
                Some(made("conv2d", attrs, inputs, n * h * w))
            },
        )
        .boxed()
}

/// With at least eight values a channel: the gradient of fewer that happen to be close together is as
/// large as 1/σ, and so is its error.
fn batch_norm(op: &'static str) -> BoxedStrategy<Case> {
    let kinds = (any::<bool>(), any::<bool>(), any::<bool>(), 0.0..1.0);
    ((size(6), size(20), size(9), size(9)), kinds, size(4))
        .prop_filter_map(
            "too few values a channel",
            move |((n, c, h, w), (two_axes, affine, training, momentum), alphas)| {
                let shape = if two_axes { vec![n, c] } else { vec![n, c, h, w] };
                let values = shape.iter().product::<usize>() / c;
                if training && values < 8 {
                    return None;
                }
                let mut inputs = vec![
                    InputSpec { shape, fill: Fill::Normal { mean: 0.5, sd: 2.0 } },
                    normal([c], 1.0),
                    uniform([c]),
                ];
                let normalized = op == "normalized_batch_norm";
                if normalized || affine {
                    inputs.extend([uniform([c]), normal([c], 1.0)]);
                }
                inputs.extend(normalized.then(|| uniform([alphas])));
                let attrs = json!({"training": training, "momentum": momentum, "eps": 1e-5});
                let mut case = made(op, attrs, inputs, values);
                // The direction of a vector of one element is its sign: nothing left but cancelling.
                case.grad_tolerance = Tolerance { rtol: 1e-4, atol: 1e-4 };
                Some(case)
            },
        )
        .boxed()
}

/// Shapes that broadcast: of each extent either input, or none, has 1 instead.
fn binary(op: &'static str) -> BoxedStrategy<Case> {
    vec((size(7), 0..4u8), 0..5)
        .prop_flat_map(|axes| {
            let rank = axes.len();
            (Just(axes), 0..=rank)
        })
        .prop_map(move |(axes, cut)| {
            let one = |which: u8| -> Vec<usize> {
                axes.iter().map(|(n, at)| if *at == which { 1 } else { *n }).collect()
            };
            // The second lacks some leading axes.
            let (a, b) = (one(1), one(2)[cut..].to_vec());
            let terms = a.iter().product::<usize>() * b.iter().product::<usize>();
            let b = if op == "div" { uniform(b) } else { normal(b, 1.0) };
            made(op, json!({}), vec![normal(a, 1.0), b], terms)
        })
        .boxed()
}

fn pool(op: &'static str) -> BoxedStrategy<Case> {
    let pair = |most| [size(most), size(most)];
    (plane(), pair(4), pair(3), [any::<bool>(), any::<bool>()])
        .prop_filter_map(
            "the window is larger than the padded input",
            move |(x, k, stride, pad)| {
                let padding = [0, 1].map(|i| if pad[i] { k[i] / 2 } else { 0 });
                let fits = (0..2).all(|i| x[i + 2] + 2 * padding[i] >= k[i]);
                let attrs = json!({"kernel_size": k, "stride": stride, "padding": padding});
                fits.then(|| made(op, attrs, vec![normal(x, 1.0)], 16))
            },
        )
        .boxed()
}

fn cross_entropy() -> BoxedStrategy<Case> {
    let reductions = prop::sample::select(vec!["mean", "sum", "none"]);
    (size(40), size(120), any::<bool>(), prop_oneof![Just(0.0), 0.0..0.9], reductions)
        .prop_map(|(n, c, weighted, smoothing, reduction)| {
            let labels = InputSpec { shape: vec![n], fill: Fill::Labels { classes: c } };
            let mut inputs = vec![normal([n, c], 3.0), labels];
            inputs.extend(weighted.then(|| uniform([c])));
            let attrs = json!({"label_smoothing": smoothing, "reduction": reduction});
            let mut case = made("cross_entropy", attrs, inputs, c);
            case.tolerance.atol = 1e-6 * n as f64 + 2e-5;
            case
        })
        .boxed()
}

/// One test an op.
mod of {
    tests_of_every_op!(super::holds);
}
