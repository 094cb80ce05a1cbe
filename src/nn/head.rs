//! The classifiers on top of the features: linear, rectified, cosine, and the re-scaled ones of two-stage
//! methods. Every parameter's name has the part `linear` or `fc`, by which optimizers tell head from backbone.

use super::blocks::Kind;
use super::memory::Memory;
use super::weight_norm::{WeightNorm, unit_rows};
use super::{BatchNorm, Builder, Init, Linear, Scope, Slot};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// The names of a classifier, behind that of its expert: the CIFAR networks', torchvision's.
pub(super) const HEADS: [&str; 2] = ["linear", "fc"];
/// The names of the factors that LWS and DisAlign learn on top of a classifier.
const HEAD_SCALES: [&str; 5] =
    ["scale", "logit_scale", "logit_bias", "confidence.weight", "confidence.bias"];

/// Whether the parameter `name` belongs to a classifier.
pub fn in_head(name: &str) -> bool {
    name.split('.').any(|part| HEADS.contains(&part))
}

/// What `name` is to the (first expert's) classifier: `weight`, `bias`, …
pub fn of_head(name: &str) -> Option<&str> {
    HEADS.iter().find_map(|head| name.strip_prefix(head)?.strip_prefix('.'))
}

/// Whether it is the (first expert's) classifier's weight.
pub fn is_head_weight(name: &str) -> bool {
    of_head(name) == Some("weight")
}

/// Whether it is one of the factors that LWS and DisAlign learn on top of a classifier, of any expert.
pub fn in_head_scales(name: &str) -> bool {
    let plain = super::norm::plain_name(name);
    of_head(plain).is_some_and(|part| HEAD_SCALES.contains(&part))
}

/// The end of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// A linear layer.
    Linear,
    /// Logit Rectification: a linear layer, then batch norm without affine map over the logits.
    Lr,
    /// z_j = s·cos(f, W_j), no bias (NormedLinear); s is given.
    Cosine(f32),
    /// z_j = s_j·(W_j·f + b_j), s_j learned from 1 (LWS, Kang et al., ICLR 2020).
    Lws,
    /// z_j = (1 + c·α_j)(W_j·f + b_j) + c·β_j, c = sigmoid(v·f + a), α from 1, β from 0 (DisAlign, Zhang
    /// et al., CVPR 2021).
    DisAlign,
    /// Features enriched from a memory of centroids, and cosines (OLTR, Liu et al., CVPR 2019).
    Memory,
}

/// A classifier with its parameters.
#[derive(Debug)]
pub(super) enum Classifier {
    Linear(Linear),
    Rectified(Linear, BatchNorm),
    Cosine(Slot, f32),
    Scaled(Linear, Slot),
    Aligned { linear: Linear, confidence: Linear, scale: Slot, bias: Slot },
    Memory(Memory),
}

impl Classifier {
    /// From `features` to `classes`, for networks with blocks of `kind`.
    pub fn new(
        b: &mut Builder,
        prefix: &str,
        (head, weights): (Head, WeightNorm),
        kind: Kind,
        [features, classes]: [usize; 2],
    ) -> Self {
        let name = format!("{prefix}{}", HEADS[usize::from(kind != Kind::Padded)]);
        let named = |part: &str| format!("{name}.{part}");
        if let Head::Cosine(scale) = head {
            // Evenly over a cube whose rows have length 1 on average: only their direction counts, but
            // their length decides how fast it turns.
            let bound = (3.0 / features as f32).sqrt();
            let init = Init::Uniform(bound);
            return Self::Cosine(b.parameter(named("weight"), [classes, features], init), scale);
        }
        if head == Head::Memory {
            return Self::Memory(Memory::new(b, &name, [features, classes]));
        }
        let linear = match kind {
            Kind::Padded => Linear::new(b, &name, [features, classes], weights.classifier()),
            _ => Linear::uniform(b, &name, [features, classes], weights.classifier()),
        };
        let mut vector =
            |name: &str, value| b.parameter(named(name), [classes], Init::Constant(value));
        match head {
            Head::Linear | Head::Cosine(_) | Head::Memory => Self::Linear(linear),
            Head::Lr => Self::Rectified(linear, BatchNorm::plain(b, &named("bn"), classes)),
            Head::Lws => Self::Scaled(linear, vector("scale", 1.0)),
            Head::DisAlign => {
                let scale = vector("logit_scale", 1.0);
                let bias = vector("logit_bias", 0.0);
                let confidence = Linear::new(b, &named("confidence"), [features, 1], false);
                Self::Aligned { linear, confidence, scale, bias }
            }
        }
    }

    /// Features [N, I] → logits [N, classes].
    pub fn forward(&self, scope: &Scope<'_>, features: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear(linear) => linear.forward(scope, features),
            Self::Rectified(linear, bn) => {
                bn.forward(scope, &linear.forward(scope, features)?, None, false)
            }
            Self::Cosine(weight, scale) => {
                let cosines =
                    ops::linear(&unit_rows(features)?, &unit_rows(scope.get(*weight))?, None)?;
                ops::binary("mul", &cosines, &ops::fill(cosines.gpu(), [1, 1], *scale))
            }
            Self::Scaled(linear, scale) => {
                ops::binary("mul", &linear.forward(scope, features)?, scope.get(*scale))
            }
            Self::Aligned { linear, confidence, scale, bias } => {
                let z = linear.forward(scope, features)?;
                let c = ops::unary("sigmoid", &confidence.forward(scope, features)?)?;
                let one = ops::fill(z.gpu(), [1, 1], 1.0);
                let factor = ops::binary("add", &ops::binary("mul", &c, scope.get(*scale))?, &one)?;
                let shift = ops::binary("mul", &c, scope.get(*bias))?;
                ops::binary("add", &ops::binary("mul", &z, &factor)?, &shift)
            }
            Self::Memory(memory) => memory.forward(scope, features),
        }
    }

    /// The weight whose rows stand for the classes [classes, I].
    pub fn weight(&self, scope: &Scope<'_>) -> Result<Tensor> {
        match self {
            Self::Cosine(weight, _) => Ok(scope.get(*weight).clone()),
            Self::Memory(memory) => Ok(memory.weight(scope)),
            Self::Linear(linear)
            | Self::Rectified(linear, _)
            | Self::Scaled(linear, _)
            | Self::Aligned { linear, .. } => linear.weight(scope),
        }
    }

    /// Its memory's centroids [classes, I].
    pub fn centroids(&self, scope: &Scope<'_>) -> Option<Tensor> {
        match self {
            Self::Memory(memory) => Some(scope.get(memory.centroids).clone()),
            _ => None,
        }
    }

    /// Its batch norm.
    pub fn norm(&self) -> Option<&BatchNorm> {
        match self {
            Self::Rectified(_, bn) => Some(bn),
            _ => None,
        }
    }
}
