//! Label-aware smoothing: frequent classes are smoothed more (MiSLAS).

use super::terms::{add, mul, row_sum, rows, sub, times};
use super::{Definition, Form, Number, Paper};
use std::f64::consts::FRAC_PI_2;

pub(super) const LOSS: Definition = Definition {
    name: "label-aware-smoothing",
    paper: Paper {
        cite: "Zhong et al., Improving Calibration for Long-Tailed Recognition (MiSLAS), CVPR",
        year: 2021,
    },
    equation: "L = (1 - e_y)(-log p_y) + e_y mean_j(-log p_j), e_j = tail + (head - tail) sin(pi/2 (n_j - n_min)/(n_max - n_min))",
    note: "",
    options: &[
        Number {
            name: "head",
            default: 0.3,
            range: 0.0..1.0,
            help: "smoothing of the largest class",
        },
        Number { name: "tail", default: 0.0, range: 0.0..1.0, help: "smoothing of the smallest" },
    ],
    cosine: false,
    form: Form::Rows(|x| {
        let (most, fewest) = (x.most(), x.fewest());
        let (head, tail) = (x.number("head"), x.number("tail"));
        let smoothing = x.each_class(|n| {
            let share = (n - fewest) / (most - fewest).max(1.0);
            tail + (head - tail) * (FRAC_PI_2 * share).sin()
        })?;
        let hot = x.hot()?;
        let own = row_sum(&mul(&hot, &smoothing)?)?;
        let log_p = x.log_softmax()?;
        let hard = row_sum(&mul(&log_p, &hot)?)?;
        let even = times(&row_sum(&log_p)?, 1.0 / x.counts.len() as f32)?;
        // −(hard + e (even − hard))
        let spread = mul(&own, &sub(&even, &hard)?)?;
        rows(&times(&add(&hard, &spread)?, -1.0)?)
    }),
};
