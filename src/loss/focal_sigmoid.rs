//! Focal loss on a sigmoid for each class, as the class-balanced loss uses it.

use super::terms::{mul, plus, row_sum, rows, times};
use super::{Definition, Form, Number, Paper};
use crate::ops;

pub(super) const LOSS: Definition = Definition {
    name: "focal-sigmoid",
    paper: Paper { cite: "Lin et al., Focal Loss for Dense Object Detection, ICCV", year: 2017 },
    equation: "L = sum_j (1 - q_j)^gamma (-log q_j), q_y = sigmoid(z_y), q_j = sigmoid(-z_j)",
    note: "the output's bias starts as any other's",
    options: &[Number { name: "gamma", default: 2.0, range: 0.0..20.0, help: "focusing exponent" }],
    cosine: false,
    form: Form::Rows(|x| {
        // t z with t = 1 at the label, −1 elsewhere; −log q = softplus(−t z), log(1 − q) = −softplus(t z)
        let signed = mul(x.logits, &plus(&times(&x.hot()?, 2.0)?, -1.0)?)?;
        let loss = ops::unary("softplus", &ops::unary("neg", &signed)?)?;
        let rest = times(&ops::unary("softplus", &signed)?, -x.option("gamma"))?;
        rows(&row_sum(&mul(&ops::unary("exp", &rest)?, &loss)?)?)
    }),
};
