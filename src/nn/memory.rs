//! The classifier of open long-tailed recognition (OLTR, Liu et al., CVPR 2019), as its authors' code has it:
//! features are enriched from a memory that holds a centroid of each class, and stretched the more the nearer
//! the nearest one is.
//!
//! m = softmax(V f + a)·M, e = tanh(U f + b), v = 10/min_k ‖f − M_k‖ · (f + e ⊙ m),
//! z_j = 16·‖v‖/(1 + ‖v‖)·cos(v, W_j).
//! The centroids M are constants here: only their own loss moves them (`loss/centroids.rs`).

use super::weight_norm::unit_rows;
use super::{Builder, Init, Linear, Scope, Slot};
use crate::error::Result;
use crate::ops::{self, Pool2dOptions};
use crate::tensor::Tensor;

/// The name of the memory's centroids.
pub const CENTROIDS: &str = "memory.centroids";
/// What names begin with, behind the classifier's, of the part that asks the memory: it starts as a linear
/// classifier's weight and bias.
pub const HALLUCINATOR: &str = "hallucinator.";
/// What a nearest centroid at distance 1 stretches features by.
const REACH: f32 = 10.0;
/// The factor of the cosines.
const SCALE: f32 = 16.0;

/// Whether the parameter `name` is a memory.
pub fn in_memory(name: &str) -> bool {
    name == CENTROIDS
}

/// The classifier's parameters.
#[derive(Debug)]
pub(super) struct Memory {
    hallucinator: Linear,
    selector: Linear,
    weight: Slot,
    /// M [classes, I]
    pub centroids: Slot,
}

/// The parameters as tensors.
#[derive(Clone, Debug)]
pub struct MemoryParts {
    /// V f + a [N, classes]
    pub asked: Tensor,
    /// U f + b [N, I]
    pub selected: Tensor,
    /// W [classes, I]
    pub weight: Tensor,
    /// M [classes, I]
    pub centroids: Tensor,
}

impl Memory {
    /// From `features` to `classes`; `name` is the classifier's.
    pub fn new(b: &mut Builder, name: &str, [features, classes]: [usize; 2]) -> Self {
        let bound = 1.0 / (features as f32).sqrt();
        let sizes = [features, classes];
        let part = |part: &str| format!("{name}.{part}");
        Memory {
            hallucinator: Linear::uniform(b, &part("hallucinator"), sizes, false),
            selector: Linear::uniform(b, &part("selector"), [features; 2], false),
            weight: b.parameter(part("weight"), [classes, features], Init::Uniform(bound)),
            centroids: b.parameter(CENTROIDS.into(), [classes, features], Init::Normal(1.0)),
        }
    }

    /// Features [N, I] → logits [N, classes].
    pub fn forward(&self, scope: &Scope<'_>, features: &Tensor) -> Result<Tensor> {
        let parts = MemoryParts {
            asked: self.hallucinator.forward(scope, features)?,
            selected: self.selector.forward(scope, features)?,
            weight: scope.get(self.weight).clone(),
            centroids: scope.get(self.centroids).clone(),
        };
        memory_logits(features, &parts)
    }

    /// W [classes, I].
    pub fn weight(&self, scope: &Scope<'_>) -> Tensor {
        scope.get(self.weight).clone()
    }
}

/// Features [N, I] → logits [N, classes].
///
/// # Errors
/// Shapes that do not fit.
pub fn memory_logits(features: &Tensor, parts: &MemoryParts) -> Result<Tensor> {
    let number = |value: f32| ops::fill(features.gpu(), [1, 1], value);
    let centroids = ops::detach(&parts.centroids);
    let remembered = ops::matmul(&ops::softmax(&parts.asked)?, &centroids)?;
    let concept = ops::unary("tanh", &parts.selected)?;
    let enriched = ops::binary("add", features, &ops::binary("mul", &concept, &remembered)?)?;
    let nearest = ops::unary("neg", &squared_distances(features, &centroids)?)?;
    let [n, classes] = [nearest.dims()[0], nearest.dims()[1]];
    let row = Pool2dOptions { kernel: [1, classes], stride: [1, classes], padding: [0; 2] };
    let nearest = ops::max_pool2d(&ops::reshape(&nearest, [n, 1, 1, classes])?, row)?;
    let nearest = ops::unary("neg", &ops::reshape(&nearest, [n, 1])?)?;
    // A feature on its centroid has no direction away from it: its reach is a constant.
    let distance = ops::unary("sqrt", &ops::binary("maximum", &nearest, &number(1e-6))?)?;
    let reach = ops::binary("div", &number(REACH), &distance)?;
    let v = ops::binary("mul", &enriched, &reach)?;
    let length = ops::unary("sqrt", &ops::sum(&ops::unary("square", &v)?, &[1], true)?)?;
    let squashed = ops::binary("div", &length, &ops::binary("add", &length, &number(1.0))?)?;
    let cosines = ops::linear(&unit_rows(&v)?, &unit_rows(&parts.weight)?, None)?;
    ops::binary("mul", &cosines, &ops::binary("mul", &squashed, &number(SCALE))?)
}

/// ‖x_i − m_k‖² of rows x [N, I], m [C, I]: [N, C].
///
/// # Errors
/// Shapes that do not fit.
pub fn squared_distances(x: &Tensor, m: &Tensor) -> Result<Tensor> {
    let squares = |t: &Tensor| ops::sum(&ops::unary("square", t)?, &[1], true);
    let of_m = ops::reshape(&squares(m)?, [1, m.dims()[0]])?;
    let products = ops::linear(x, m, None)?;
    let twice = ops::binary("mul", &products, &ops::fill(x.gpu(), [1, 1], 2.0))?;
    ops::binary("sub", &ops::binary("add", &squares(x)?, &of_m)?, &twice)
}
