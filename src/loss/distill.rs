//! What is learned from a teacher: a trained network that sees the same images in inference mode, whose
//! logits t and maps are constants to the gradient.
//!
//! Knowledge distillation (Hinton et al., 2015): L + w·T²·mean_i KL(softmax(t_i/T) ‖ softmax(z_i/T)), z the
//! network's logits, of several experts their mean. xERM (Zhu et al., AAAI 2022): the teacher freed of the class shares is b = t − log π;
//! w_i = CE(b_i, y_i)^γ / (CE(t_i, y_i)^γ + CE(b_i, y_i)^γ) says how much worse it explains the sample, and
//! L = mean_i w_i·H(softmax b_i, p_i) + (1 − w_i)·CE(z_i, y_i). Attention transfer (Zagoruyko and Komodakis, ICLR
//! 2017): + β·Σ over stages of mean (Q_z − Q_t)², Q = vec(mean_c A²) scaled to length 1 for each image.

use super::terms::{add, at_least, div, mul, plus, row_sum, sub, times};
use crate::error::{Error, Result};
use crate::nn::Pass;
use crate::ops;
use crate::tensor::Tensor;

/// What a learner takes from its teacher.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Teaching {
    /// From its logits.
    pub logits: Distillation,
    /// β of attention transfer; 0: none.
    pub attention: f64,
}

/// How the teacher's logits are used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Distillation {
    /// Not at all.
    #[default]
    None,
    /// Knowledge distillation with factor w and temperature T.
    Kd {
        /// w
        weight: f64,
        /// T
        temperature: f64,
    },
    /// xERM with exponent γ.
    Xerm {
        /// γ
        gamma: f64,
    },
}

impl Teaching {
    /// The loss with what `teacher` adds to it, or puts in its place: \[1\]. `hard` is the loss without a teacher,
    /// `labels` \[N\], `counts` the training images of each class.
    ///
    /// # Errors
    /// Networks whose logits, or with attention whose stages, do not fit each other.
    pub fn of(
        &self,
        hard: Tensor,
        (labels, counts): (&Tensor, &[usize]),
        learner: &Pass,
        teacher: &Pass,
    ) -> Result<Tensor> {
        let taught = ops::detach(&teacher.output);
        let mut loss = match self.logits {
            Distillation::None => hard,
            Distillation::Kd { weight, temperature: t } => {
                let apart = divergence(&learner.output, &taught, t as f32)?;
                scalar(&add(&hard, &scaled(&apart, weight * t * t)?)?)?
            }
            Distillation::Xerm { gamma } => {
                let target = xerm_target(&taught, labels, counts, gamma as f32)?;
                let each = learner.logits.iter().map(|z| soft_cross_entropy(z, &target));
                ops::sum_of(&each.collect::<Result<Vec<_>>>()?)?
            }
        };
        if self.attention > 0.0 {
            if learner.stages.len() != teacher.stages.len() {
                return Err(stages(learner, teacher));
            }
            for (own, other) in learner.stages.iter().zip(&teacher.stages) {
                let apart = attention_distance(own, other)?;
                loss = add(&loss, &scaled(&apart, self.attention)?)?;
            }
        }
        Ok(loss)
    }
}

fn stages(learner: &Pass, teacher: &Pass) -> Error {
    let message = format!("{} stages learn from {}", learner.stages.len(), teacher.stages.len());
    Error::Shape { op: "attention", message }
}

/// factor·x of one element.
fn scaled(x: &Tensor, factor: f64) -> Result<Tensor> {
    mul(x, &ops::fill(x.gpu(), [1], factor as f32))
}

fn scalar(x: &Tensor) -> Result<Tensor> {
    ops::reshape(x, [1])
}

/// The mean over all elements: \[1\].
fn mean(x: &Tensor) -> Result<Tensor> {
    scalar(&ops::mean(x, &[], false)?)
}

/// mean_i KL(softmax(t_i/T) ‖ softmax(z_i/T)): \[1\].
fn divergence(logits: &Tensor, taught: &Tensor, temperature: f32) -> Result<Tensor> {
    let log_q = ops::log_softmax(&times(taught, 1.0 / temperature)?)?;
    let log_p = ops::log_softmax(&times(logits, 1.0 / temperature)?)?;
    let each = row_sum(&mul(&ops::unary("exp", &log_q)?, &sub(&log_q, &log_p)?)?)?;
    mean(&each)
}

/// w·softmax(b) + (1 − w)·e_y [N, C]: against it the cross-entropy is xERM's loss. 1e-5 keeps w from 0/0, as in
/// the authors' code.
fn xerm_target(taught: &Tensor, labels: &Tensor, counts: &[usize], gamma: f32) -> Result<Tensor> {
    let total = counts.iter().sum::<usize>() as f64;
    let shares: Vec<f32> =
        counts.iter().map(|n| ((*n).max(1) as f64 / total).ln() as f32).collect();
    let shares = Tensor::new(taught.gpu(), &shares, [1, shares.len()])?;
    let hot = ops::one_hot(labels, counts.len())?;
    let log_f = ops::log_softmax(taught)?;
    let log_b = ops::log_softmax(&sub(taught, &shares)?)?;
    // CE^γ by logarithms; a cross-entropy of 0 becomes the least one.
    let power = |log_p: &Tensor| -> Result<Tensor> {
        let ce = ops::unary("neg", &row_sum(&mul(log_p, &hot)?)?)?;
        ops::unary("exp", &times(&ops::unary("log", &at_least(&ce, 1e-30)?)?, gamma)?)
    };
    let (f, b) = (power(&log_f)?, power(&log_b)?);
    let w = div(&b, &plus(&add(&f, &b)?, 1e-5)?)?;
    let p = ops::unary("exp", &log_b)?;
    Ok(ops::detach(&add(&hot, &mul(&w, &sub(&p, &hot)?)?)?))
}

/// mean_i −Σ_j t_ij log p_ij: \[1\].
fn soft_cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let rows = row_sum(&mul(target, &ops::log_softmax(logits)?)?)?;
    ops::unary("neg", &mean(&rows)?)
}

/// mean (Q_a − Q_b)² over images and places, b held fixed: \[1\].
fn attention_distance(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dims()[2..] != b.dims()[2..] {
        let message = format!("maps of {} and of {}", a.shape(), b.shape());
        return Err(Error::Shape { op: "attention", message });
    }
    let apart = sub(&attention(a)?, &ops::detach(&attention(b)?))?;
    mean(&ops::unary("square", &apart)?)
}

/// Q [N, h·w] of maps [N, C, h, w]; the squared length is at least 1e-12, as in the authors' code.
fn attention(maps: &Tensor) -> Result<Tensor> {
    let [n, _, h, w] = *maps.dims() else {
        let message = format!("maps have four axes, not {}", maps.shape());
        return Err(Error::Shape { op: "attention", message });
    };
    let q = ops::mean(&ops::unary("square", maps)?, &[1], false)?;
    let q = ops::reshape(&q, [n, h * w])?;
    let length = ops::unary("sqrt", &at_least(&row_sum(&ops::unary("square", &q)?)?, 1e-12)?)?;
    div(&q, &length)
}
