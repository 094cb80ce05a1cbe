//! Logit normalization: the logits' length is taken out.

use super::terms::{div, plus, row_sum, times};
use super::{Adjusted, Definition, Form, Number, Paper};
use crate::ops;

/// Added to ‖z‖², so that a row of zeros has a gradient.
const EPS: f32 = 1e-12;

pub(super) const LOSS: Definition = Definition {
    name: "logit-norm",
    paper: Paper {
        cite: "Wei et al., Mitigating Neural Network Overconfidence with Logit Normalization, ICML",
        year: 2022,
    },
    equation: "L = CE(z / (tau |z|))",
    note: "tau = 0.04 is recalled, not read again",
    options: &[Number { name: "tau", default: 0.04, range: 1e-3..10.0, help: "temperature" }],
    cosine: false,
    form: Form::CrossEntropy(|x| {
        let squares = row_sum(&ops::unary("square", x.logits)?)?;
        let norm = ops::unary("sqrt", &plus(&squares, EPS)?)?;
        Ok(Adjusted::logits(div(x.logits, &times(&norm, x.option("tau"))?)?))
    }),
};
