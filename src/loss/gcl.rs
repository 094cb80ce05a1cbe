//! Gaussian clouded logits: cosines are lowered by noise, more so for rarer classes.

use super::terms::{at_most, mul, sub, times};
use super::{Adjusted, Definition, Form, Number, Paper};
use crate::ops::{self, Noise};

/// Standard deviation of the noise before it is clamped to 1.
const SPREAD: f32 = 1.0 / 3.0;

pub(super) const LOSS: Definition = Definition {
    name: "gcl",
    paper: Paper {
        cite: "Li et al., Long-Tailed Visual Recognition via Gaussian Clouded Logit Adjustment, CVPR",
        year: 2022,
    },
    equation: "L = CE(s (cos_j - m |e_j| (log n_max - log n_j)/(log n_max - log n_min))), e_j ~ N(0, 1/9) clamped to 1",
    note: "first stage; its second is `train_only = \"head\"` with a balanced sampler",
    options: &[Number { name: "m", default: 0.5, range: 0.0..10.0, help: "strength of the noise" }],
    cosine: true,
    form: Form::CrossEntropy(|x| {
        let (most, fewest) = (x.most().ln(), x.fewest().ln());
        let m = x.number("m") * f64::from(x.scale);
        let cloud = x.each_class(|n| m * (most - n.ln()) / (most - fewest).max(1e-12))?;
        let drawn = ops::noise(x.logits.gpu(), x.size(), Noise::Normal, 1);
        let size = at_most(&times(&ops::unary("abs", &drawn)?, SPREAD)?, 1.0)?;
        Ok(Adjusted::logits(sub(x.logits, &mul(&size, &cloud)?)?))
    }),
};
