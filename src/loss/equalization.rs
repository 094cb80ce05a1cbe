//! Softmax equalization: rare classes are spared some of the gradients of others' samples.

use super::terms::{add, complement, mul, times};
use super::{Adjusted, Definition, Form, Number, Paper};
use crate::ops::{self, Noise};

/// A logit with this added has probability 0.
const OUT: f32 = -1e30;

pub(super) const LOSS: Definition = Definition {
    name: "equalization",
    paper: Paper {
        cite: "Tan et al., Equalization Loss for Long-Tailed Object Recognition, CVPR",
        year: 2020,
    },
    equation: "L = -log( e^{z_y} / sum_k w_k e^{z_k} ), w_k = 1 - B [pi_k < lambda] (1 - [k = y]), B ~ Bernoulli(gamma)",
    note: "",
    options: &[
        Number { name: "gamma", default: 0.9, range: 0.0..1.01, help: "probability of sparing" },
        Number {
            name: "lambda",
            default: 5e-3,
            range: 0.0..1.01,
            help: "classes with a smaller share are rare",
        },
    ],
    cosine: false,
    form: Form::CrossEntropy(|x| {
        let (total, lambda) = (x.total(), x.number("lambda"));
        let rare = x.each_class(|n| if n / total < lambda { 1.0 } else { 0.0 })?;
        let spared = Noise::Bernoulli(x.option("gamma"));
        let drawn = ops::noise(x.logits.gpu(), x.size(), spared, 0);
        let others = complement(&x.hot()?)?;
        let out = times(&mul(&mul(&drawn, &rare)?, &others)?, OUT)?;
        Ok(Adjusted::logits(add(x.logits, &out)?))
    }),
};
