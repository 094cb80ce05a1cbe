//! Contradictions about what is done with features: contrastive branches, memories, SMOTE's draws towards
//! neighbours.

use super::super::{
    Augment, ClassWeights, Config, ContrastKind, Distill, FrozenNorms, Head, LossCfg, MixKind,
    PolicyKind, Sampler, Trained, WeightNorm,
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
        self.validate_paco()?;
        if self.loss.contrast == ContrastKind::None && self.loss.loss_factor != 1.0 {
            return wrong(
                "loss_factor is about the loss beside a contrast: give --contrast".into(),
            );
        }
        if self.model.head == Head::Memory {
            let contradictions = [
                (self.model.experts > 1, "is one network's: leave --experts out"),
                (input.mix != MixKind::None, "knows one label a sample: leave --mix out"),
                (self.loss.contrast != ContrastKind::None, "sees one view: leave --contrast out"),
                (
                    self.model.weight_norm != WeightNorm::None,
                    "has cosines: leave --weight-norm out",
                ),
            ];
            if let Some((_, why)) = contradictions.iter().find(|(holds, _)| *holds) {
                return wrong(format!("head memory {why}"));
            }
        } else if self.loss.centroids != LossCfg::default().centroids {
            return wrong("centroids is about a memory: give --head memory".into());
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

    /// PaCo's loss is its own, its queue a ring of whole batches.
    fn validate_paco(&self) -> Result<()> {
        let (loss, train, defaults) = (&self.loss, &self.train, LossCfg::default());
        if loss.contrast != ContrastKind::Paco {
            let (queue, keep) =
                (loss.queue != defaults.queue, loss.key_momentum != defaults.key_momentum);
            return match queue || keep {
                true => {
                    Err(Error::usage("queue and key_momentum are about paco: give --contrast paco"))
                }
                false => Ok(()),
            };
        }
        if loss.loss_factor <= 0.0 {
            return Err(Error::usage(
                "paco needs a loss_factor above 0: the weight of a class's centre",
            ));
        }
        if !train.drop_last || !loss.queue.is_multiple_of(train.batch_size) {
            return Err(Error::usage(format!(
                "paco's queue takes whole batches: give --drop-last, and a --queue that is a multiple of the batch_size, {}",
                train.batch_size
            )));
        }
        if train.accumulate > 1 {
            return Err(Error::usage("paco's queue takes a batch a step: leave accumulate out"));
        }
        let others = [
            ("loss", loss.loss != "ce"),
            ("label_smoothing", loss.label_smoothing != 0.0),
            ("class_weights", loss.class_weights != ClassWeights::None),
            ("logit_adjust", loss.logit_adjust != 0.0),
            ("a teacher", self.teacher.distill != Distill::None || self.teacher.attention > 0.0),
        ];
        match others.iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(Error::usage(format!(
                "contrast paco is a loss of its own, with the class shares in it: leave {key} out"
            ))),
            None => Ok(()),
        }
    }
}
