//! Balanced softmax: the training prior inside the softmax.

use super::{Adjusted, Definition, Form, Paper};

pub(super) const LOSS: Definition = Definition {
    name: "balanced-softmax",
    paper: Paper {
        cite: "Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS",
        year: 2020,
    },
    equation: "L = -log( n_y e^{z_y} / sum_j n_j e^{z_j} )",
    note: "without the paper's meta sampler",
    options: &[],
    cosine: false,
    form: Form::CrossEntropy(|x| {
        let offsets = x.counts.iter().map(|n| (*n as f64).ln()).collect();
        Ok(Adjusted { logits: x.logits.clone(), offsets: Some(offsets) })
    }),
};
