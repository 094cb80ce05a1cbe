//! ABC-Norm: cross-entropy against a norm of the batch's predictions, in which frequent classes weigh more.
//! The more certain a prediction, and the more frequent what it says, the larger the norm: it confuses.

use super::terms::{add, mul, row_sum, rows, times};
use super::{Definition, Form, Number, Paper};
use crate::ops;

pub(super) const LOSS: Definition = Definition {
    name: "abc-norm",
    paper: Paper {
        cite: "Hsu et al., ABC-Norm Regularization for Fine-Grained and Long-Tailed Image Classification, IEEE TIP",
        year: 2023,
    },
    equation: "L = (1 - tau)(-log p_y) + tau sum_j (a_j p_j)^2, a_j = (n_j/mean n)^power",
    note: "as the authors' code computes it",
    options: &[
        Number {
            name: "tau",
            default: 0.5,
            range: 0.0..1.0,
            help: "the norm's share, the rest is cross-entropy's",
        },
        Number {
            name: "power",
            default: 0.5,
            range: 0.0..4.0,
            help: "how far classes weigh by frequency; 0: all the same",
        },
    ],
    cosine: false,
    form: Form::Rows(|x| {
        let (tau, power) = (x.option("tau"), x.number("power"));
        let mean = x.total() / x.counts.len() as f64;
        let weights = x.each_class(|n| (n / mean).powf(power))?;
        let log_p = x.log_softmax()?;
        let weighted = mul(&ops::unary("exp", &log_p)?, &weights)?;
        let norm = row_sum(&ops::unary("square", &weighted)?)?;
        let own = row_sum(&mul(&log_p, &x.hot()?)?)?;
        rows(&add(&times(&norm, tau)?, &times(&own, tau - 1.0)?)?)
    }),
};
