//! A heavy-tailed similarity instead of the cosine.

use super::terms::{div, plus, times};
use super::{Adjusted, Definition, Form, Number, Paper};

pub(super) const LOSS: Definition = Definition {
    name: "t-vmf",
    paper: Paper {
        cite: "Kobayashi, t-vMF Similarity for Regularizing Intra-Class Feature Distribution, CVPR",
        year: 2021,
    },
    equation: "L = CE(s phi(cos)), phi(c) = (1 + c)/(1 + kappa (1 - c)) - 1",
    note: "stands for the t-distributed spherical losses; the schedule of the AAAI 2023 one was not found",
    options: &[Number {
        name: "kappa",
        default: 16.0,
        range: 0.0..1e4,
        help: "concentration of the similarity",
    }],
    cosine: true,
    form: Form::CrossEntropy(|x| {
        let (s, kappa) = (x.scale, x.option("kappa"));
        let c = times(x.logits, 1.0 / s)?;
        let phi = div(&plus(&c, 1.0)?, &plus(&times(&c, -kappa)?, 1.0 + kappa)?)?;
        Ok(Adjusted::logits(times(&plus(&phi, -1.0)?, s)?))
    }),
};
