//! Contradictions about what is done with features: contrastive branches, SMOTE's draws towards neighbours.

use super::super::{
    Augment, Config, ContrastKind, FrozenNorms, MixKind, PolicyKind, Sampler, Trained,
};
use crate::error::{Error, Result};

impl Config {
    pub(super) fn validate_features(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        let input = &self.input;
        if self.loss.contrast != ContrastKind::None {
            let filled = matches!(input.sampler, Sampler::Paired | Sampler::Smote);
            let contradictions = [
                (self.model.experts > 1, "knows one classifier: leave --experts out"),
                (input.mix != MixKind::None, "compares views of unmixed images: leave --mix out"),
                (filled, "fills a batch with views, samplers paired and smote with other pairs"),
                (self.optim.train_only != Trained::All, "trains all: leave --train-only out"),
            ];
            if let Some((_, why)) = contradictions.iter().find(|(holds, _)| *holds) {
                return wrong(format!("contrast {} {why}", self.loss.contrast.name()));
            }
        }
        if self.loss.contrast == ContrastKind::None && self.loss.loss_factor != 1.0 {
            return wrong(
                "loss_factor is about the loss beside a contrast: give --contrast".into(),
            );
        }
        if input.sampler != Sampler::Smote {
            return Ok(());
        }
        let head_alone = self.optim.train_only != Trained::All;
        if !head_alone || self.optim.frozen_norms != FrozenNorms::Eval {
            return wrong(
                "sampler smote draws between features of a network that is fixed: give --train-only head and --after RECIPE or --init CHECKPOINT, frozen_norms eval"
                    .into(),
            );
        }
        let changed = input.augment != Augment::None
            || input.policy != PolicyKind::None
            || input.cutout > 0
            || input.mix != MixKind::None;
        if changed {
            return wrong(
                "sampler smote's neighbours are those of unchanged images: give --augment none, without policy, cutout and mix"
                    .into(),
            );
        }
        Ok(())
    }
}
