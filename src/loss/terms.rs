//! What a loss's formula is written with: the batch, the class counts, and small algebra on tensors.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a loss is given.
pub struct Input<'a> {
    /// z [N, C]; s·cos θ with a cosine head.
    pub logits: &'a Tensor,
    /// y \[N\].
    pub labels: &'a Tensor,
    /// n_j, the training images of each class; none is 0.
    pub counts: &'a [usize],
    /// s, the cosine head's factor; 1 for another head.
    pub scale: f32,
    pub(super) options: &'a BTreeMap<&'static str, f64>,
}

impl Input<'_> {
    /// A number of the recipe.
    pub fn option(&self, name: &str) -> f32 {
        self.number(name) as f32
    }

    /// A number of the recipe in 64 bits.
    pub fn number(&self, name: &str) -> f64 {
        self.options.get(name).copied().unwrap_or_default()
    }

    /// Rows and classes.
    pub fn size(&self) -> [usize; 2] {
        [self.logits.dims()[0], self.counts.len()]
    }

    /// e_y: 1 at each row's label [N, C].
    ///
    /// # Errors
    /// Labels of another shape than the logits'.
    pub fn hot(&self) -> Result<Tensor> {
        ops::one_hot(self.labels, self.counts.len())
    }

    /// A value for each class, from its count [1, C].
    ///
    /// # Errors
    /// No memory.
    pub fn each_class(&self, f: impl Fn(f64) -> f64) -> Result<Tensor> {
        let values: Vec<f32> = self.counts.iter().map(|n| f(*n as f64) as f32).collect();
        Tensor::new(self.logits.gpu(), &values, [1, values.len()])
    }

    /// Σ n_j
    pub fn total(&self) -> f64 {
        self.counts.iter().sum::<usize>() as f64
    }

    /// max n_j
    pub fn most(&self) -> f64 {
        self.counts.iter().max().map_or(1.0, |n| *n as f64)
    }

    /// min n_j
    pub fn fewest(&self) -> f64 {
        self.counts.iter().min().map_or(1.0, |n| *n as f64)
    }

    /// log p [N, C].
    ///
    /// # Errors
    /// Logits without two axes.
    pub fn log_softmax(&self) -> Result<Tensor> {
        ops::log_softmax(self.logits)
    }
}

/// a + b
pub(super) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ops::binary("add", a, b)
}

/// a − b
pub(super) fn sub(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ops::binary("sub", a, b)
}

/// a·b
pub(super) fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ops::binary("mul", a, b)
}

/// a / b
pub(super) fn div(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ops::binary("div", a, b)
}

/// factor·x
pub(super) fn times(x: &Tensor, factor: f32) -> Result<Tensor> {
    mul(x, &ops::fill(x.gpu(), [1, 1], factor))
}

/// x + term
pub(super) fn plus(x: &Tensor, term: f32) -> Result<Tensor> {
    add(x, &ops::fill(x.gpu(), [1, 1], term))
}

/// 1 − x
pub(super) fn complement(x: &Tensor) -> Result<Tensor> {
    plus(&times(x, -1.0)?, 1.0)
}

/// What of `n` rows is another than the row itself: 1 − I [n, n].
pub(super) fn not_itself(gpu: &Rc<Gpu>, n: usize) -> Result<Tensor> {
    let places: Vec<u32> = (0..n as u32).collect();
    complement(&ops::one_hot(&Tensor::integers(gpu, &places, [n])?, n)?)
}

/// max(x, bound)
pub(super) fn at_least(x: &Tensor, bound: f32) -> Result<Tensor> {
    ops::binary("maximum", x, &ops::fill(x.gpu(), [1, 1], bound))
}

/// min(x, bound) = −max(−x, −bound)
pub(super) fn at_most(x: &Tensor, bound: f32) -> Result<Tensor> {
    ops::unary("neg", &at_least(&ops::unary("neg", x)?, -bound)?)
}

/// Σ over the classes [N, 1]: of x·e_y, the value at the label.
pub(super) fn row_sum(x: &Tensor) -> Result<Tensor> {
    ops::sum(x, &[1], true)
}

/// Rows [N, 1] as a vector \[N\].
pub(super) fn rows(x: &Tensor) -> Result<Tensor> {
    ops::reshape(x, [x.dims()[0]])
}
