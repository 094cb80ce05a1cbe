//! Batch-norm layers: plain, normalized (NBN), with statistics by domain or without an affine map, and the
//! choice of which layers of a network are normalized.
//!
//! NBN and its zero start. The reference starts β at 0. Then b = α·β/(‖β‖+1e-6) is 0 and its first
//! gradient is 10⁶·α·u, u being the batch's Σ dy: one step throws ‖β‖ to 10³ and more, after which
//! the gradient, divided by that norm, cannot turn β any more: for most of a CIFAR schedule the
//! bias is α times a direction fixed by the first batches. That is what the published code does
//! and so the default here ([`BiasStart::Zero`]). [`BiasStart::Random`] draws β normal with
//! standard deviation 1/√C instead, so ‖β‖ ≈ 1 from the start, gradients are of ordinary size, and
//! the direction keeps learning; it is this project's option, not the paper's.

use super::trans_norm::{After, trans_norm_eval, trans_norm_train};
use super::{Builder, EXPERTS, Init, Mode, Scope, Slot, WeightNorm};
use crate::error::{Error, Result};
use crate::ops::{Affine, Normalization, batch_norm_eval, batch_norm_train, binary, unary};
use crate::tensor::Tensor;
use std::cell::Cell;

/// Added to the variance.
pub const EPS: f32 = 1e-5;
/// Added outside NBN's norms.
pub const NORM_EPS: f32 = 1e-6;
/// Weight of a batch in the running statistics.
pub const MOMENTUM: f32 = 0.1;

/// Plain or normalized batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Weight and bias as they are.
    Bn,
    /// Unit vectors times one learned scalar, in the layers chosen.
    Nbn,
    /// Statistics by domain, everywhere ([`super::trans_norm_train`]).
    Transferable,
}

/// How an NBN layer's β starts; see the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BiasStart {
    /// 0, as the reference.
    Zero,
    /// Normal with standard deviation 1/√C.
    Random,
}

/// Which batch-norm layers are normalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NormLayers {
    /// The last BN of each block of the last stage, and its downsample's (the reference).
    LastStage,
    /// Every BN of the network.
    All,
    /// None.
    Nothing,
    /// Those whose names match a pattern, `*` standing for any characters.
    Patterns(Vec<String>),
}

impl NormLayers {
    /// `last-stage`, `all`, `none`, or a comma list of patterns such as `layer3.*.bn2`.
    ///
    /// # Errors
    /// An empty pattern.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "last-stage" => NormLayers::LastStage,
            "all" => NormLayers::All,
            "none" => NormLayers::Nothing,
            list => {
                let patterns: Vec<String> = list.split(',').map(|p| p.trim().to_string()).collect();
                if patterns.iter().any(String::is_empty) {
                    return Err(Error::usage(format!(
                        "--nbn-layers {list:?} has an empty pattern"
                    )));
                }
                NormLayers::Patterns(patterns)
            }
        })
    }
}

/// The name under which α is stored.
pub const SCALE_FACTOR: &str = "scale_factor";

/// The network-wide choice of norms, and α once a layer is normalized.
#[derive(Debug)]
pub struct Norms {
    /// Plain or normalized.
    pub kind: NormKind,
    /// Which layers.
    pub layers: NormLayers,
    /// β's start.
    pub start: BiasStart,
    /// Which weights are normalized.
    pub weights: WeightNorm,
    alpha: Cell<Option<Slot>>,
}

impl Norms {
    /// A choice for one network.
    pub fn new(kind: NormKind, layers: NormLayers, start: BiasStart) -> Self {
        Norms { kind, layers, start, weights: WeightNorm::Nothing, alpha: Cell::new(None) }
    }

    /// Whether the BN called `name` is normalized; `last` says it ends a block of the last stage.
    pub fn selects(&self, name: &str, last: bool) -> bool {
        self.kind == NormKind::Nbn
            && match &self.layers {
                NormLayers::LastStage => last,
                NormLayers::All => true,
                NormLayers::Nothing => false,
                NormLayers::Patterns(list) => list.iter().any(|p| matches(p, name)),
            }
    }

    /// Declares the α of the layers made next, under `prefix`: one entry for each of `count` normalized
    /// layers, of which entry 0 counts.
    ///
    /// # Errors
    /// NBN asked for patterns that match no layer.
    pub fn declare(
        &self,
        builder: &mut Builder,
        prefix: &str,
        count: usize,
        names: &[String],
    ) -> Result<()> {
        if let (NormKind::Nbn, NormLayers::Patterns(p), 0) = (self.kind, &self.layers, count) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(crate::error::unknown("batch-norm layer", &p.join(","), &names));
        }
        if count > 0 {
            let name = format!("{prefix}{SCALE_FACTOR}");
            let slot = builder.parameter(name, [count], Init::Constant(1.0));
            self.alpha.set(Some(slot));
        }
        Ok(())
    }
}

/// A layer's name without the expert it belongs to: `layer3.0.bn2` of `experts.1.layer3.0.bn2`.
pub(super) fn plain_name(name: &str) -> &str {
    let within = name.strip_prefix(EXPERTS).and_then(|rest| rest.split_once('.'));
    within.map_or(name, |(_, plain)| plain)
}

/// `*` matches any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).any(|i| tail.is_char_boundary(i) && matches(rest, &tail[i..]))
        }),
    }
}

/// A batch-norm layer.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The layer's name.
    pub name: String,
    affine: Option<(Slot, Slot)>,
    alpha: Option<Slot>,
    mean: Slot,
    variance: Slot,
    /// The source's statistics where domains have their own; the others are then the target's.
    source: Option<[Slot; 2]>,
}

impl BatchNorm {
    /// A layer over `c` channels; `last` says it ends a block of the last stage.
    pub fn new(b: &mut Builder, name: &str, c: usize, norms: &Norms, last: bool) -> Self {
        let normalized = norms.selects(plain_name(name), last);
        let start = match norms.start {
            BiasStart::Random if normalized => Init::Normal(1.0 / (c as f32).sqrt()),
            _ => Init::Constant(0.0),
        };
        let weight = b.parameter(format!("{name}.weight"), [c], Init::Constant(1.0));
        let bias = b.parameter(format!("{name}.bias"), [c], start);
        let alpha = if normalized { norms.alpha.get() } else { None };
        let mut layer = Self::with(b, name, c, Some((weight, bias)), alpha);
        if norms.kind == NormKind::Transferable {
            let statistic =
                |(part, start)| b.statistic(format!("{name}.{part}_source"), [c], start);
            layer.source = Some([("running_mean", 0.0), ("running_var", 1.0)].map(statistic));
        }
        layer
    }

    /// A layer without an affine map: Logit Rectification's, over the logits.
    pub fn plain(b: &mut Builder, name: &str, c: usize) -> Self {
        Self::with(b, name, c, None, None)
    }

    /// A layer with weight and bias that is never normalized nor split by domain: a contrastive branch's.
    pub fn affine(b: &mut Builder, name: &str, c: usize) -> Self {
        let weight = b.parameter(format!("{name}.weight"), [c], Init::Constant(1.0));
        let bias = b.parameter(format!("{name}.bias"), [c], Init::Constant(0.0));
        Self::with(b, name, c, Some((weight, bias)), None)
    }

    fn with(
        b: &mut Builder,
        name: &str,
        c: usize,
        affine: Option<(Slot, Slot)>,
        alpha: Option<Slot>,
    ) -> Self {
        BatchNorm {
            name: name.to_string(),
            affine,
            alpha,
            mean: b.statistic(format!("{name}.running_mean"), [c], 0.0),
            variance: b.statistic(format!("{name}.running_var"), [c], 1.0),
            source: None,
        }
    }

    /// This layer's weight and bias are normalized.
    pub fn normalized(&self) -> bool {
        self.alpha.is_some()
    }

    /// This layer has a weight and a bias.
    pub fn has_affine(&self) -> bool {
        self.affine.is_some()
    }

    /// Norm, then the residual sum and the ReLU if asked for, in one pass where the scope fuses.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(
        &self,
        scope: &Scope<'_>,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        let affine = match (self.affine, self.alpha) {
            (None, _) => Affine::None,
            (Some((w, b)), None) => Affine::Plain { weight: scope.get(w), bias: scope.get(b) },
            (Some((w, b)), Some(a)) => Affine::Normalized {
                gamma: scope.get(w),
                beta: scope.get(b),
                alpha: scope.get(a),
                eps: NORM_EPS,
            },
        };
        let norm = Normalization {
            affine,
            eps: EPS,
            residual: residual.filter(|_| scope.fuse),
            relu: relu && scope.fuse,
            synced: scope.synced,
        };
        // A batch norm without an affine map belongs to the classifier.
        let mode = if self.affine.is_some() { scope.backbone } else { scope.mode };
        let mut y = match mode {
            _ if self.source.is_some() => self.transferable(scope, x, &norm, mode)?,
            Mode::Train => {
                let made = batch_norm_train(x, &norm)?;
                scope.note(self.mean, made.mean);
                scope.note(self.variance, made.variance);
                made.y
            }
            Mode::Eval => {
                batch_norm_eval(x, scope.get(self.mean), scope.get(self.variance), &norm)?
            }
        };
        if !scope.fuse {
            if let Some(r) = residual {
                y = binary("add", &y, r)?;
            }
            if relu {
                y = unary("relu", &y)?;
            }
        }
        Ok(y)
    }

    /// The norm with statistics by domain.
    fn transferable(
        &self,
        scope: &Scope<'_>,
        x: &Tensor,
        norm: &Normalization<'_>,
        mode: Mode,
    ) -> Result<Tensor> {
        let (Some(source), Affine::Plain { weight, bias }) = (self.source, norm.affine) else {
            return Err(Error::Failure(format!("{} has no domains", self.name)));
        };
        let after = After { weight, bias, residual: norm.residual, relu: norm.relu };
        let slots = [source, [self.mean, self.variance]];
        if mode == Mode::Eval {
            let moments = slots.map(|pair| pair.map(|slot| scope.get(slot).clone()));
            return trans_norm_eval(x, &moments, &after);
        }
        let (y, moments) = trans_norm_train(x, &after)?;
        for (slot, moment) in slots.into_iter().flatten().zip(moments.into_iter().flatten()) {
            scope.note(slot, moment);
        }
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        assert!(matches("layer3.*.bn2", "layer3.0.bn2"));
        assert!(matches("*bn2", "layer3.0.bn2"));
        assert!(matches("*", "bn1"));
        assert!(!matches("layer3.*.bn2", "layer3.0.bn1"));
        assert!(!matches("bn", "bn1"));
    }

    #[test]
    fn the_last_stage_is_the_default_choice() {
        let norms = Norms::new(NormKind::Nbn, NormLayers::LastStage, BiasStart::Zero);
        assert!(norms.selects("layer3.0.bn2", true));
        assert!(!norms.selects("layer3.0.bn1", false));
        let plain = Norms::new(NormKind::Bn, NormLayers::All, BiasStart::Zero);
        assert!(!plain.selects("layer3.0.bn2", true));
    }
}
