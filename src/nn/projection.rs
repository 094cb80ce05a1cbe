//! What a contrastive branch adds to a network: a projection of features (PaCo, Cui et al., ICCV 2021), and with
//! BCL (Zhu et al., CVPR 2022) one that makes the classifier's weight into a prototype of each class. Each is a linear layer, batch norm,
//! ReLU and a linear layer, whose results are unit vectors. Names are the authors': `head.` and `head_fc.`.

use super::{BatchNorm, Builder, Linear, Scope, unit_rows};
use crate::error::Result;
use crate::tensor::Tensor;

const FEATURES: &str = "head.";
const PROTOTYPES: &str = "head_fc.";

/// Whether the parameter or statistic `name` belongs to a contrastive branch.
pub fn in_projection(name: &str) -> bool {
    name.starts_with(FEATURES) || name.starts_with(PROTOTYPES)
}

/// What a contrastive branch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projected {
    /// Numbers of a projected feature; 0: there is no branch.
    pub width: usize,
    /// A prototype of each class.
    pub prototypes: bool,
}

impl Projected {
    /// No branch.
    pub const NONE: Self = Projected { width: 0, prototypes: false };
}

/// The projections of a network.
#[derive(Debug)]
pub(super) struct Projections {
    pub features: Projection,
    pub prototypes: Option<Projection>,
}

/// A linear layer, batch norm, ReLU, a linear layer.
#[derive(Debug)]
pub(super) struct Projection {
    first: Linear,
    norm: BatchNorm,
    second: Linear,
}

impl Projections {
    /// From `features` numbers, if there is a branch.
    pub fn new(b: &mut Builder, features: usize, to: Projected) -> Option<Self> {
        (to.width > 0).then(|| Projections {
            features: Projection::new(b, FEATURES, features, to.width),
            prototypes: to.prototypes.then(|| Projection::new(b, PROTOTYPES, features, to.width)),
        })
    }
}

impl Projection {
    fn new(b: &mut Builder, name: &str, features: usize, width: usize) -> Self {
        Projection {
            first: Linear::new(b, &format!("{name}0"), [features; 2], false),
            norm: BatchNorm::affine(b, &format!("{name}1"), features),
            second: Linear::new(b, &format!("{name}3"), [features, width], false),
        }
    }

    /// x [N, I] → unit rows [N, width].
    pub fn forward(&self, scope: &Scope<'_>, x: &Tensor) -> Result<Tensor> {
        let h = self.norm.forward(scope, &self.first.forward(scope, x)?, None, true)?;
        unit_rows(&self.second.forward(scope, &h)?)
    }
}
