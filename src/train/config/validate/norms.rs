//! Contradictions about norms: normalized weights, statistics by domain, statistics taken anew.

use super::super::{Config, Head, MixKind, Norm, Post, Sampler, WeightNorm};
use crate::error::{Error, Result};
use crate::nn::Mode;
use crate::train::parts;

impl Config {
    pub(super) fn validate_norms(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        let (model, input, sampler) = (&self.model, &self.input, self.input.sampler);
        if sampler == Sampler::Paired && !self.train.batch_size.is_multiple_of(2) {
            return wrong(format!(
                "sampler paired fills a batch with pairs, but batch_size is {}",
                self.train.batch_size
            ));
        }
        if sampler == Sampler::Paired && matches!(input.mix, MixKind::Mixup | MixKind::CutMix) {
            return wrong(format!(
                "mix {} would mix the two halves of sampler paired's batches",
                input.mix.name()
            ));
        }
        let learns = parts::backbone(self) == Mode::Train;
        let halves = sampler == Sampler::Paired && input.sampler_from == 0.0;
        if model.norm == Norm::TransNorm && learns && !halves {
            return wrong(
                "norm transnorm needs batches of two halves: give --sampler paired, without sampler_from"
                    .into(),
            );
        }
        if model.norm == Norm::TransNorm && model.post == Post::AdaBn {
            return wrong(
                "post adabn takes one set of statistics, but norm transnorm has one for each domain".into(),
            );
        }
        if model.weight_norm != WeightNorm::None {
            if model.head == Head::Cosine {
                return wrong(
                    "weight_norm learns lengths of the classifier's rows, which head cosine does not use".into(),
                );
            }
            if !matches!(model.post, Post::None | Post::AdaBn) || self.optim.max_norm.is_some() {
                return wrong(
                    "post and max_norm edit the classifier's weight, which weight_norm keeps as length and direction"
                        .into(),
                );
            }
        }
        Ok(())
    }
}
