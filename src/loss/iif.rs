//! Inverse image frequency: logits times a weight that grows with rarity.

use super::terms::mul;
use super::{Adjusted, Definition, Form, Number, Paper};

pub(super) const LOSS: Definition = Definition {
    name: "iif",
    paper: Paper {
        cite: "Alexandridis et al., Inverse Image Frequency for Long-Tailed Image Recognition, IEEE TIP",
        year: 2023,
    },
    equation: "L = CE(w_j z_j), w_j = log((N + 1)/(n_j + 1)) + 1; with smooth = 0 w_j = log(N/n_j)",
    note: "the weights hold in training only; the paper also uses them at test time",
    options: &[Number {
        name: "smooth",
        default: 1.0,
        range: 0.0..1.01,
        help: "1 for the smoothed weights, 0 for the raw ones",
    }],
    cosine: false,
    form: Form::CrossEntropy(|x| {
        let (total, smooth) = (x.total(), x.number("smooth") >= 0.5);
        let weights = x.each_class(|n| match smooth {
            true => ((total + 1.0) / (n + 1.0)).ln() + 1.0,
            false => (total / n).ln(),
        })?;
        Ok(Adjusted::logits(mul(x.logits, &weights)?))
    }),
};
