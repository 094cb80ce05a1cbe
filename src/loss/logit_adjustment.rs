//! Logit adjustment in the loss.

use super::{Adjusted, Definition, Form, Number, Paper};

pub(super) const LOSS: Definition = Definition {
    name: "logit-adjustment",
    paper: Paper {
        cite: "Menon et al., Long-Tail Learning via Logit Adjustment, ICLR",
        year: 2021,
    },
    equation: "L = CE(z + tau log pi), pi_j = n_j / sum n",
    note: "the post-hoc form is `post = \"logit-adjustment\"`",
    options: &[Number {
        name: "tau",
        default: 1.0,
        range: 0.0..100.0,
        help: "strength of the adjustment",
    }],
    cosine: false,
    form: Form::CrossEntropy(|x| {
        let (tau, total) = (x.number("tau"), x.total());
        let offsets = x.counts.iter().map(|n| tau * (*n as f64 / total).ln()).collect();
        Ok(Adjusted { logits: x.logits.clone(), offsets: Some(offsets) })
    }),
};
