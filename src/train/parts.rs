//! The parts that a recipe names, as the engine takes them: objective, optimizer, sampler.

use super::config::{
    ClassWeights, Combine, Config, ContrastKind, Distill, FrozenNorms, Head, Precision, Sampler,
    Trained,
};
use super::momentum::MomentumSpec;
use crate::data::sampler::Rule;
use crate::loss::contrast::{Contrast, VIEWS};
use crate::loss::parametric::Parametric;
use crate::loss::{Distillation, Evidence, ObjectiveSpec, Teaching, Weights};
use crate::nn::Mode;
use crate::optim::{Learning, SgdOptions};

/// What is minimised, for classes with these training counts.
pub fn objective(config: &Config, counts: &[usize]) -> ObjectiveSpec {
    let loss = &config.loss;
    ObjectiveSpec {
        loss: loss.loss.clone(),
        options: loss.loss_options.clone(),
        counts: counts.to_vec(),
        weights: match loss.class_weights {
            ClassWeights::None => Weights::Even,
            ClassWeights::Inverse => Weights::Power(1.0),
            ClassWeights::Sqrt => Weights::Power(0.5),
            ClassWeights::Effective => Weights::Effective(loss.beta),
        },
        logit_adjust: loss.logit_adjust,
        label_smoothing: loss.label_smoothing as f32,
        scale: match config.model.head {
            Head::Cosine => config.model.head_scale as f32,
            _ => 1.0,
        },
        diversity: if config.model.experts > 1 { loss.diversity } else { 0.0 },
        diversity_spread: loss.diversity_spread,
        teaching: teaching(config),
        evidence: (config.model.combine == Combine::Evidence)
            .then_some(Evidence { rate: loss.evidence, engage: loss.engage }),
        centroids: loss.centroids,
        suppress: (config.model.combine == Combine::Groups).then_some(loss.suppress),
    }
}

/// BCL's contrast beside the loss.
pub fn contrast(config: &Config) -> Option<Contrast> {
    let loss = &config.loss;
    (loss.contrast == ContrastKind::Bcl).then_some(Contrast {
        loss: loss.loss_factor as f32,
        weight: loss.contrast_weight as f32,
        temperature: loss.temperature as f32,
    })
}

/// PaCo's second network and queue.
pub fn momentum(config: &Config) -> Option<MomentumSpec> {
    let loss = &config.loss;
    (loss.contrast == ContrastKind::Paco).then_some(MomentumSpec {
        queue: loss.queue,
        keep: loss.key_momentum as f32,
        factors: Parametric {
            others: loss.contrast_weight as f32,
            centre: loss.loss_factor as f32,
            temperature: loss.temperature as f32,
        },
    })
}

/// Numbers of a projected feature; 0 without a contrastive branch.
pub fn projected(config: &Config) -> usize {
    if config.loss.contrast == ContrastKind::None { 0 } else { config.loss.projected }
}

/// Views of an image in a batch.
pub fn views(config: &Config) -> usize {
    match config.loss.contrast {
        ContrastKind::None => 1,
        ContrastKind::Bcl => VIEWS,
        ContrastKind::Paco => 2,
    }
}

/// What is learned from a teacher.
pub fn teaching(config: &Config) -> Teaching {
    let cfg = &config.teacher;
    let logits = match cfg.distill {
        Distill::None => Distillation::None,
        Distill::Kd => {
            Distillation::Kd { weight: cfg.distill_weight, temperature: cfg.distill_temperature }
        }
        Distill::Xerm => Distillation::Xerm { gamma: cfg.xerm_gamma },
    };
    Teaching { logits, attention: cfg.attention }
}

/// The optimizer.
pub fn optimizer(config: &Config) -> SgdOptions {
    let optim = &config.optim;
    SgdOptions {
        momentum: optim.momentum as f32,
        nesterov: optim.nesterov,
        weight_decay: optim.weight_decay as f32,
        spare_scale_factor: optim.no_decay_scale_factor,
        learning: match optim.train_only {
            Trained::All => Learning::All,
            Trained::Head => Learning::Head,
            Trained::Scale => Learning::Scale,
        },
        head_lr: optim.head_lr as f32,
        accumulate: config.train.accumulate > 1,
        loss_scaling: config.train.precision == Precision::Mixed,
        clip_norm: optim.clip_norm.map(|limit| limit as f32),
        ema: optim.ema,
    }
}

/// min + t·(max − min) of the lengths of a weight's rows: where weight balancing caps them.
pub fn row_limit(t: f64, weight: &[f32], rows: usize) -> f32 {
    let length = |row: &[f32]| row.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
    let lengths: Vec<f64> =
        weight.chunks((weight.len() / rows.max(1)).max(1)).map(length).collect();
    let least = lengths.iter().copied().fold(f64::INFINITY, f64::min);
    let most = lengths.iter().copied().fold(0.0, f64::max);
    (least + t * (most - least)) as f32
}

/// The batch norms below the classifier in training.
pub fn backbone(config: &Config) -> Mode {
    match (config.optim.train_only, config.optim.frozen_norms) {
        (Trained::All, _) | (_, FrozenNorms::Shift) => Mode::Train,
        (_, FrozenNorms::Eval) => Mode::Eval,
    }
}

/// The sampler of an epoch.
pub fn sampler(config: &Config, epoch: usize) -> Rule {
    if epoch < from(config.input.sampler_from, config.train.epochs) {
        return Rule::Instance;
    }
    match config.input.sampler {
        Sampler::Instance => Rule::Instance,
        Sampler::ClassBalanced => Rule::Power(0.0),
        Sampler::Sqrt => Rule::Power(0.5),
        Sampler::Progressive => Rule::Progressive,
        Sampler::Effective => Rule::Effective(config.loss.beta),
        Sampler::ClassAware => Rule::ClassAware(config.input.class_draws),
        Sampler::Under => Rule::Under,
        Sampler::Over => Rule::Over,
        Sampler::OneSided => Rule::OneSided,
        Sampler::Smote => Rule::Smote,
        Sampler::Paired => Rule::Paired(config.train.batch_size),
    }
}

/// Whether the class weights hold in an epoch.
pub fn weighted(config: &Config, epoch: usize) -> bool {
    epoch >= from(config.loss.reweight_from, config.train.epochs)
}

/// The first epoch at or after a share of the run.
fn from(share: f64, epochs: usize) -> usize {
    (share * epochs as f64 - 1e-9).ceil().max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_lies_between_the_shortest_and_the_longest_row() {
        let weight = [3.0, 4.0, 0.6, 0.8, 0.0, 2.0];
        for (t, limit) in [(0.0, 1.0), (0.1, 1.4), (1.0, 5.0)] {
            assert!((row_limit(t, &weight, 3) - limit).abs() < 1e-6);
        }
    }

    #[test]
    fn deferred_parts_begin_at_their_share_of_the_epochs() {
        let mut config = Config::default();
        config.train.epochs = 200;
        config.loss.reweight_from = 0.8;
        config.input.sampler = Sampler::ClassBalanced;
        config.input.sampler_from = 0.8;
        assert!(!weighted(&config, 159) && weighted(&config, 160));
        assert_eq!(sampler(&config, 159), Rule::Instance);
        assert_eq!(sampler(&config, 160), Rule::Power(0.0));
        for (epochs, first) in [(50, 40), (7, 6), (1, 1)] {
            assert_eq!(from(0.8, epochs), first);
        }
        assert_eq!(from(0.0, 9), 0);
    }
}
