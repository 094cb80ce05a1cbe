//! Class-dependent temperatures.

use super::terms::mul;
use super::{Adjusted, Definition, Form, Number, Paper};

pub(super) const LOSS: Definition = Definition {
    name: "cdt",
    paper: Paper {
        cite: "Ye et al., Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning, arXiv",
        year: 2020,
    },
    equation: "L = CE(z_j / a_j), a_j = (n_max/n_j)^gamma",
    note: "",
    options: &[Number {
        name: "gamma",
        default: 0.2,
        range: 0.0..5.0,
        help: "exponent of the temperatures",
    }],
    cosine: false,
    form: Form::CrossEntropy(|x| {
        let (most, gamma) = (x.most(), x.number("gamma"));
        let factors = x.each_class(|n| (n / most).powf(gamma))?;
        Ok(Adjusted::logits(mul(x.logits, &factors)?))
    }),
};
