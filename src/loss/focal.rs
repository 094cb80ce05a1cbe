//! Focal loss on softmax probabilities: well-classified samples count less.

use super::terms::{at_least, complement, mul, row_sum, rows, times};
use super::{Definition, Form, Number, Paper};
use crate::ops;

/// Keeps log(1 − p) and its gradient finite at p = 1.
const EPS: f32 = 1e-12;

pub(super) const LOSS: Definition = Definition {
    name: "focal",
    paper: Paper { cite: "Lin et al., Focal Loss for Dense Object Detection, ICCV", year: 2017 },
    equation: "L = (1 - p_y)^gamma (-log p_y)",
    note: "",
    options: &[Number { name: "gamma", default: 2.0, range: 0.0..20.0, help: "focusing exponent" }],
    cosine: false,
    form: Form::Rows(|x| {
        let log_p = row_sum(&mul(&x.log_softmax()?, &x.hot()?)?)?;
        let rest = complement(&ops::unary("exp", &log_p)?)?;
        let rest = at_least(&rest, EPS)?;
        let factor = ops::unary("exp", &times(&ops::unary("log", &rest)?, x.option("gamma"))?)?;
        rows(&times(&mul(&factor, &log_p)?, -1.0)?)
    }),
};
