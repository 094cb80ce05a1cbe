//! The objective of a run: a loss with its options, class weights, logit offsets and smoothing, put
//! together for one or, in a mixed batch, two sets of labels.
//!
//! L = Σ_i v_{y_i} ℓ_i / Σ_i v_{y_i}; in a mixed batch λ·L(y) + (1 − λ)·L(y of the partners). Several experts'
//! losses are added, with RIDE's diversity (Wang et al., ICLR 2021): κ·t²·mean_i KL(p̄_i ‖ p_{e,i}), where
//! p_e = softmax(z_e/τ), p̄ that of the mean logits held fixed, τ_j a temperature for each class, t their mean.

use super::centroids::centroid_loss;
use super::terms::{add, mul, row_sum, times};
use super::{Definition, Evidence, Form, Input, Teaching, evidence, find, groups};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::nn::{self, Pass};
use crate::ops::{self, CrossEntropy};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How the classes are weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights {
    /// 1 each.
    Even,
    /// ∝ n^−power, scaled to a mean of 1.
    Power(f64),
    /// ∝ (1 − β) / (1 − β^n), scaled to a mean of 1 (Cui et al., 2019).
    Effective(f64),
}

impl Weights {
    /// The weight of each class.
    pub fn of(self, counts: &[usize]) -> Vec<f32> {
        let weight = |n: &usize| {
            let n = (*n).max(1) as f64;
            match self {
                Weights::Even => 1.0,
                Weights::Power(p) => n.powf(-p),
                // 1 − β^n without cancellation
                Weights::Effective(beta) => (1.0 - beta) / -(n * beta.ln()).exp_m1(),
            }
        };
        let all: Vec<f64> = counts.iter().map(weight).collect();
        let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
        all.iter().map(|w| (w / mean) as f32).collect()
    }
}

/// What a recipe says of the loss.
#[derive(Clone, Debug)]
pub struct ObjectiveSpec {
    /// The loss's name.
    pub loss: String,
    /// Its options.
    pub options: BTreeMap<String, f64>,
    /// Training images of each class.
    pub counts: Vec<usize>,
    /// Class weights.
    pub weights: Weights,
    /// τ·log π_j is added to every row.
    pub logit_adjust: f64,
    /// Share of the target spread over all classes.
    pub label_smoothing: f32,
    /// The head's factor on cosines.
    pub scale: f32,
    /// κ of several experts; below 0 they are driven apart.
    pub diversity: f64,
    /// How far rare classes' temperatures lie below 1: τ_j ∝ 1 − s + s·C·π_j, at most 1.
    pub diversity_spread: f64,
    /// What is learned from a teacher.
    pub teaching: Teaching,
    /// TLC's evidence of several experts.
    pub evidence: Option<Evidence>,
    /// ACE's experts for groups of classes: the factor of their other classes' squared logits.
    pub suppress: Option<f64>,
    /// OLTR's factor of the loss that keeps the memory's centroids.
    pub centroids: f64,
}

impl Default for ObjectiveSpec {
    /// Plain cross-entropy, which needs no counts.
    fn default() -> Self {
        ObjectiveSpec {
            loss: "ce".into(),
            options: BTreeMap::new(),
            counts: Vec::new(),
            weights: Weights::Even,
            logit_adjust: 0.0,
            label_smoothing: 0.0,
            scale: 1.0,
            diversity: 0.0,
            diversity_spread: 0.0,
            teaching: Teaching::default(),
            evidence: None,
            suppress: None,
            centroids: 0.0,
        }
    }
}

/// A loss on a device.
pub struct Objective {
    gpu: Rc<Gpu>,
    definition: &'static Definition,
    options: BTreeMap<&'static str, f64>,
    spec: ObjectiveSpec,
    weights: Option<Tensor>,
    /// 1/τ_j [1, C], and t²: they hold, as the weights do, from where the recipe says.
    temperatures: Option<[Tensor; 2]>,
    /// λ·t of the evidence's divergence [1, 1].
    annealed: Option<Tensor>,
}

impl Objective {
    /// The objective of `spec`; its class weights hold at once.
    ///
    /// # Errors
    /// An unknown loss or option, or no memory.
    pub fn new(gpu: &Rc<Gpu>, spec: &ObjectiveSpec) -> Result<Self> {
        let definition = find(&spec.loss)?;
        let weights = match spec.weights {
            Weights::Even => None,
            other => Some(Tensor::new(gpu, &other.of(&spec.counts), [spec.counts.len()])?),
        };
        Ok(Objective {
            gpu: gpu.clone(),
            definition,
            options: definition.values(&spec.options)?,
            temperatures: match spec.diversity {
                0.0 => None,
                _ => {
                    let (inverse, square) = temperatures(spec, true);
                    Some([
                        Tensor::new(gpu, &inverse, [1, inverse.len()])?,
                        Tensor::new(gpu, &[square], [1])?,
                    ])
                }
            },
            annealed: match spec.evidence {
                Some(_) => Some(Tensor::new(gpu, &[0.0], [1, 1])?),
                None => None,
            },
            spec: spec.clone(),
            weights,
        })
    }

    /// Turns class weights and temperatures on, or off (deferred re-weighting): plans made before follow.
    pub fn weigh(&self, on: bool) {
        if let Some([inverse, square]) = &self.temperatures {
            let (values, t) = temperatures(&self.spec, on);
            if let (Some(inverse), Some(square)) = (inverse.leaf(), square.leaf()) {
                self.gpu.write(inverse, &values);
                self.gpu.write(square, &[t]);
            }
        }
        if let Some(slice) = self.weights.as_ref().and_then(Tensor::leaf) {
            let weights = if on { self.spec.weights } else { Weights::Even };
            self.gpu.write(slice, &weights.of(&self.spec.counts));
        }
    }

    /// Tells how much of the run is behind, from 0 to 1: plans made before follow.
    pub fn progress(&self, share: f64) {
        if let (Some(e), Some(slice)) =
            (self.spec.evidence, self.annealed.as_ref().and_then(Tensor::leaf))
        {
            self.gpu.write(slice, &[(e.rate * share) as f32]);
        }
    }

    /// The loss of `logits` [N, C] against `labels` \[N\]: \[1\].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn of(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let ObjectiveSpec { counts, scale, .. } = &self.spec;
        let input = Input { logits, labels, counts, scale: *scale, options: &self.options };
        match self.definition.form {
            Form::CrossEntropy(adjust) => {
                let adjusted = adjust(&input)?;
                let offsets = self.offsets(adjusted.offsets)?;
                let options = CrossEntropy {
                    weights: self.weights.as_ref(),
                    offsets: offsets.as_ref(),
                    label_smoothing: self.spec.label_smoothing,
                };
                ops::cross_entropy(&adjusted.logits, labels, &options)
            }
            Form::Rows(rows) => {
                let losses = rows(&input)?;
                let Some(weights) = &self.weights else {
                    return ops::reshape(&ops::mean(&losses, &[], true)?, [1]);
                };
                let hot = ops::one_hot(labels, counts.len())?;
                let own = ops::sum(&ops::binary("mul", &hot, weights)?, &[1], false)?;
                let sum = ops::sum(&ops::binary("mul", &losses, &own)?, &[], true)?;
                ops::binary("div", &sum, &ops::sum(&own, &[], true)?)
            }
        }
    }

    /// v_y·ℓ of each row [N, 1]; `hot` is 1 at the labels [N, C].
    fn rows(&self, logits: &Tensor, labels: &Tensor, hot: &Tensor) -> Result<Tensor> {
        let ObjectiveSpec { counts, scale, .. } = &self.spec;
        let input = Input { logits, labels, counts, scale: *scale, options: &self.options };
        let rows = match self.definition.form {
            Form::CrossEntropy(adjust) => {
                let adjusted = adjust(&input)?;
                let z = match self.offsets(adjusted.offsets)? {
                    Some(offsets) => add(&adjusted.logits, &offsets)?,
                    None => adjusted.logits,
                };
                times(&row_sum(&mul(hot, &ops::log_softmax(&z)?)?)?, -1.0)?
            }
            Form::Rows(rows) => ops::reshape(&rows(&input)?, [logits.dims()[0], 1])?,
        };
        match &self.weights {
            Some(v) => mul(&rows, &row_sum(&mul(hot, v)?)?),
            None => Ok(rows),
        }
    }

    /// ACE: each expert's loss over the samples of its classes.
    fn by_groups(&self, each: &[Tensor], labels: &Tensor, suppress: f64) -> Result<Tensor> {
        let counts = &self.spec.counts;
        let hot = ops::one_hot(labels, counts.len())?;
        let total = counts.iter().sum::<usize>().max(1) as f64;
        let mut losses = Vec::new();
        for (z, mask) in each.iter().zip(nn::groups::targets(counts, each.len())?) {
            let own = counts.iter().zip(&mask).filter(|(_, m)| **m > 0.0).map(|(n, _)| n);
            let share = own.sum::<usize>() as f64 / total;
            let rows = self.rows(z, labels, &hot)?;
            losses.push(groups::part(&rows, (z, &hot), &mask, (share, suppress))?);
        }
        ops::sum_of(&losses)
    }

    /// The loss of a network with one classifier or several: the sum of each one's, and the diversity.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn of_all(&self, each: &[Tensor], labels: &Tensor) -> Result<Tensor> {
        let loss = match (self.spec.evidence, &self.annealed, self.spec.suppress) {
            (Some(e), Some(annealed), _) => self.with_evidence(each, labels, e, annealed)?,
            (_, _, Some(suppress)) => self.by_groups(each, labels, suppress)?,
            _ => self.sum(each, labels)?,
        };
        self.with_diversity(loss, each)
    }

    /// TLC: Σ_e the engaged samples' mean of v_y·CE(z_e) + λ·t·KL.
    fn with_evidence(
        &self,
        each: &[Tensor],
        labels: &Tensor,
        e: Evidence,
        annealed: &Tensor,
    ) -> Result<Tensor> {
        let hot = ops::one_hot(labels, self.spec.counts.len())?;
        let weights = nn::evidence::weights(each)?;
        let mut losses = Vec::new();
        for (logits, weight) in each.iter().zip(&weights) {
            let rows = self.rows(logits, labels, &hot)?;
            let kl = mul(&evidence::divergence(logits, &hot)?, annealed)?;
            losses.push(evidence::engaged(&add(&rows, &kl)?, weight, e.engage)?);
        }
        ops::sum_of(&losses)
    }

    /// λ·L(labels) + (1 − λ)·L(others), λ = `share` \[1\], and the diversity of several classifiers.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn of_mixed(
        &self,
        each: &[Tensor],
        [labels, others]: [&Tensor; 2],
        share: &Tensor,
    ) -> Result<Tensor> {
        let own = ops::binary("mul", &self.sum(each, labels)?, share)?;
        let rest = ops::binary("sub", &ops::fill(&self.gpu, [1], 1.0), share)?;
        let others = ops::binary("mul", &self.sum(each, others)?, &rest)?;
        self.with_diversity(ops::binary("add", &own, &others)?, each)
    }

    /// The loss with what `teacher` adds to it; `hard` is the loss without, `labels` \[N\].
    ///
    /// # Errors
    /// Networks that do not fit each other.
    pub fn taught(
        &self,
        hard: Tensor,
        labels: &Tensor,
        learner: &Pass,
        teacher: &Pass,
    ) -> Result<Tensor> {
        self.spec.teaching.of(hard, (labels, &self.spec.counts), learner, teacher)
    }

    /// The loss with what keeps the memory's `centroids` [C, I] among `features` [N, I].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn remembered(
        &self,
        loss: &Tensor,
        labels: &Tensor,
        features: &Tensor,
        centroids: &Tensor,
    ) -> Result<Tensor> {
        let factor = ops::fill(&self.gpu, [1], self.spec.centroids as f32);
        add(loss, &mul(&centroid_loss(features, labels, centroids)?, &factor)?)
    }

    /// Σ_e L(z_e).
    fn sum(&self, each: &[Tensor], labels: &Tensor) -> Result<Tensor> {
        let losses: Vec<Tensor> = each.iter().map(|z| self.of(z, labels)).collect::<Result<_>>()?;
        ops::sum_of(&losses)
    }

    /// A loss and the diversity, if there is one.
    fn with_diversity(&self, loss: Tensor, each: &[Tensor]) -> Result<Tensor> {
        match self.diversity(each)? {
            Some(diversity) => ops::binary("add", &loss, &diversity),
            None => Ok(loss),
        }
    }

    /// Σ_e κ·t²·mean_i Σ_j p̄_ij (log p̄_ij − log p_e,ij): \[1\].
    fn diversity(&self, each: &[Tensor]) -> Result<Option<Tensor>> {
        let Some([inverse, square]) = &self.temperatures else { return Ok(None) };
        let mul = |a: &Tensor, b: &Tensor| ops::binary("mul", a, b);
        let n = each[0].dims()[0];
        let log_mean = ops::detach(&ops::log_softmax(&mul(&ops::mean_of(each)?, inverse)?)?);
        let p = ops::unary("exp", &log_mean)?;
        let parts: Vec<Tensor> = each
            .iter()
            .map(|z| {
                let log_p = ops::log_softmax(&mul(z, inverse)?)?;
                ops::sum(&mul(&p, &ops::binary("sub", &log_mean, &log_p)?)?, &[], false)
            })
            .collect::<Result<_>>()?;
        let sum = ops::reshape(&ops::sum_of(&parts)?, [1])?;
        let factor = self.spec.diversity as f32 / n as f32;
        Ok(Some(mul(&mul(&sum, square)?, &ops::fill(&self.gpu, [1], factor))?))
    }

    /// Logits [N, C] with each class's log share added.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn with_shares(&self, logits: &Tensor) -> Result<Tensor> {
        let counts = &self.spec.counts;
        let total = counts.iter().sum::<usize>().max(1) as f64;
        let shares: Vec<f32> =
            counts.iter().map(|n| ((*n).max(1) as f64 / total).ln() as f32).collect();
        add(logits, &Tensor::new(&self.gpu, &shares, [1, shares.len()])?)
    }

    /// The loss's own offsets and the recipe's logit adjustment.
    fn offsets(&self, own: Option<Vec<f64>>) -> Result<Option<Tensor>> {
        let (tau, counts) = (self.spec.logit_adjust, &self.spec.counts);
        if own.is_none() && tau == 0.0 {
            return Ok(None);
        }
        let total = counts.iter().sum::<usize>() as f64;
        let own = own.unwrap_or_else(|| vec![0.0; counts.len()]);
        let offsets: Vec<f32> = own
            .iter()
            .zip(counts)
            .map(|(o, n)| (o + tau * ((*n).max(1) as f64 / total).ln()) as f32)
            .collect();
        Tensor::new(&self.gpu, &offsets, [offsets.len()]).map(Some)
    }
}

/// 1/τ_j, and the square of the mean τ; all 1 where they are off.
fn temperatures(spec: &ObjectiveSpec, on: bool) -> (Vec<f32>, f32) {
    let (counts, spread) = (&spec.counts, spec.diversity_spread);
    if !on || spread == 0.0 {
        return (vec![1.0; counts.len()], 1.0);
    }
    let total = counts.iter().sum::<usize>() as f64;
    let classes = counts.len() as f64;
    let raw = counts.iter().map(|n| spread * classes * *n as f64 / total + 1.0 - spread);
    let raw: Vec<f64> = raw.collect();
    let most = raw.iter().copied().fold(0.0, f64::max);
    let mean = raw.iter().sum::<f64>() / most / classes;
    (raw.iter().map(|t| (most / t) as f32).collect(), (mean * mean) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_a_mean_of_one_and_follow_their_formula() {
        let counts = [5000, 100, 50];
        for weights in [Weights::Even, Weights::Power(0.5), Weights::Effective(0.9999)] {
            let sum: f32 = weights.of(&counts).iter().sum();
            assert!((sum - 3.0).abs() < 1e-5, "{weights:?} {sum}");
        }
        let inverse = Weights::Power(1.0).of(&counts);
        assert!((inverse[2] / inverse[0] - 100.0).abs() < 1e-3);
        // (1 − β^5000) / (1 − β^50) with β = 0.9999, by a calculator
        let effective = Weights::Effective(0.9999).of(&counts);
        assert!((effective[2] / effective[0] - 78.8899).abs() < 1e-2, "{effective:?}");
        // β → 1 is the inverse count
        let near = Weights::Effective(1.0 - 1e-12).of(&counts);
        assert!((near[2] / near[0] - 100.0).abs() < 1e-3);
    }
}
