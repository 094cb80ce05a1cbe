//! The exercises that ask for numbers. What is right is computed by the engine when it is asked, from
//! the same values that the exercise's text gives.

use crate::bench::clock::Summary;
use crate::bench::limits::{CopyRate, Limits};
use crate::data::longtail::{Profile, counts};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Plan, Work, Workspace, grad};
use crate::ops;
use crate::tensor::Tensor;
use crate::train::metrics::Shot;
use evenkeel_kernels::Cost;
use evenkeel_kernels::conv2d::Conv2d;
use std::rc::Rc;

/// A number that is asked for.
pub struct Question {
    /// What it is, with its unit.
    pub text: &'static str,
    /// How far an answer may be off, relative to what is right; 0 for a count.
    pub within: f64,
}

/// A count, to be exact.
const fn exactly(text: &'static str) -> Question {
    Question { text, within: 0.0 }
}

/// A number to three digits.
const fn about(text: &'static str) -> Question {
    Question { text, within: 5e-3 }
}

/// Class counts of CIFAR-100-LT and what a model can see of them.
pub const LONG_TAILS: &[Question] = &[
    exactly("images of the class with index 50"),
    exactly("images of all classes together"),
    exactly("few-shot classes (fewer than 20 images)"),
    about("share of the images that belong to the ten most frequent classes, in percent"),
    about(
        "test accuracy in percent of a model that always recognizes the many-shot classes (more than \
         100 images) and never another",
    ),
];

/// The gradients of a small graph, and the nodes that compute them.
pub const AUTODIFF: &[Question] = &[
    about("dL/dx at element 0"),
    about("dL/dx at element 1"),
    about("dL/dy at element 0"),
    about("dL/dy at element 1"),
    exactly("nodes of the gradient that add up what comes along two paths"),
    exactly("launches of a plan that computes dL/dx and dL/dy, and nothing that these do not need"),
];

/// Bytes of a small plan.
pub const MEMORY: &[Question] = &[
    exactly("bytes of all values, if none shared a buffer"),
    exactly("bytes of the values alive at once, at most"),
    exactly("bytes of the buffers that the plan makes, largest value first, best fit"),
];

/// Limits, shares, and what a faster kernel gains.
pub const MEASURING: &[Question] = &[
    about("the convolution's FLOPs, in millions"),
    about("the least bytes it moves, in millions"),
    about("the least time these limits allow, in ms"),
    about("the median of the rounds, in ms"),
    about("the share of the limit, from the least round, in percent"),
    about("how many times faster the step gets"),
];

/// What is right, in the order of the questions of lesson `number`.
///
/// # Errors
/// A lesson that asks for no numbers, or what the device reports.
pub fn answers(number: usize, device: Option<&str>) -> Result<Vec<f64>> {
    match number {
        8 => Ok(long_tails()),
        9 => autodiff(&Gpu::open(device)?),
        10 => memory(&Gpu::open(device)?),
        11 => Ok(measuring()),
        _ => Err(Error::usage(format!("lesson {number} asks for a kernel, not for numbers"))),
    }
}

/// The first question whose answer is not right, from 0.
pub fn first_wrong(questions: &[Question], right: &[f64], given: &[f64]) -> Option<usize> {
    let off = |i: &usize| (given[*i] - right[*i]).abs() > questions[*i].within * right[*i].abs();
    (0..questions.len()).find(|i| given[*i].is_nan() || off(i))
}

fn long_tails() -> Vec<f64> {
    let counts = counts(500, 100, 50.0, Profile::Exp);
    let total: usize = counts.iter().sum();
    let of = |shot: Shot| counts.iter().filter(|n| Shot::of(**n) == shot).count() as f64;
    let head: usize = counts[..10].iter().sum();
    let many = of(Shot::Many) / counts.len() as f64;
    let head = head as f64 / total as f64;
    vec![counts[50] as f64, total as f64, of(Shot::Few), 100.0 * head, 100.0 * many]
}

/// s = x·y + x, L = Σ s·s.
fn autodiff(gpu: &Rc<Gpu>) -> Result<Vec<f64>> {
    let (x, y) = (Tensor::new(gpu, &[1.0, -2.0], [2])?, Tensor::new(gpu, &[3.0, 0.5], [2])?);
    let s = ops::binary("add", &ops::binary("mul", &x, &y)?, &x)?;
    let loss = ops::sum(&ops::binary("mul", &s, &s)?, &[], false)?;
    let found: Vec<Tensor> = grad(&loss, &[&x, &y])?.into_iter().flatten().collect();
    let mut work = Work::new();
    for tensor in &found {
        work.keep(tensor);
    }
    let plan = Plan::build(&mut Workspace::new(gpu), work)?;
    plan.run(&StepUniform::default())?;
    let mut numbers = Vec::new();
    for tensor in &found {
        numbers.extend(plan.read::<f32>(tensor)?.into_iter().map(f64::from));
    }
    numbers.push(plan.steps().iter().filter(|s| s.op == "sum_of").count() as f64);
    numbers.push(plan.stats().dispatches as f64);
    Ok(numbers)
}

/// a = exp x, s = Σ of its rows, p = a/s, l = log p, which is kept.
fn memory(gpu: &Rc<Gpu>) -> Result<Vec<f64>> {
    let x = Tensor::new(gpu, &[0.5; 64 * 32], [64, 32])?;
    let a = ops::unary("exp", &x)?;
    let p = ops::binary("div", &a, &ops::sum(&a, &[1], true)?)?;
    let mut work = Work::new();
    work.keep(&ops::unary("log", &p)?);
    let mut workspace = Workspace::new(gpu);
    let plan = Plan::build(&mut workspace, work)?;
    let stats = plan.stats();
    Ok(vec![stats.unshared as f64, stats.live as f64, workspace.bytes() as f64])
}

fn measuring() -> Vec<f64> {
    let shape = Conv2d {
        n: 128,
        ci: 16,
        h: 32,
        w: 32,
        co: 16,
        kh: 3,
        kw: 3,
        stride: [1; 2],
        pad: [1; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let read = 4 * (shape.x_words() + shape.weight_words()) as u64;
    let cost = Cost { flops: shape.flops(), read, written: 4 * shape.y_words() as u64 };
    let bytes = cost.read + cost.written;
    let limits = Limits {
        fma_f32: 109.0,
        fma_f16: None,
        copy: vec![CopyRate { bytes: 16 << 20, gbytes: 8.7 }],
        dispatch_us: 35.0,
        submit_us: 120.0,
    };
    let (least, _) = limits.least(&cost, 1);
    let rounds = Summary::of(&[9.4, 8.9, 14.2, 9.0, 9.1, 30.5, 9.3]);
    let share = 0.79;
    let faster = 1.0 / (1.0 - share + share / 2.0);
    vec![
        cost.flops as f64 / 1e6,
        bytes as f64 / 1e6,
        least,
        rounds.median,
        100.0 * least / rounds.min,
        faster,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_exact_and_a_measure_has_three_digits() {
        let asked = [exactly("a"), about("b")];
        assert_eq!(first_wrong(&asked, &[7.0, 200.0], &[7.0, 200.9]), None);
        assert_eq!(first_wrong(&asked, &[7.0, 200.0], &[7.5, 200.0]), Some(0));
        assert_eq!(first_wrong(&asked, &[7.0, 200.0], &[7.0, 198.0]), Some(1));
        assert_eq!(first_wrong(&asked, &[7.0, 200.0], &[7.0, f64::NAN]), Some(1));
    }
}
