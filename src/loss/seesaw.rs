//! Seesaw: negative gradients on rarer classes are turned down, and up where they are mistaken.

use super::terms::{add, at_least, at_most, mul, row_sum, sub, times};
use super::{Adjusted, Definition, Form, Number, Paper};
use crate::ops;

/// σ_y is taken as at least this.
const FLOOR: f32 = 1e-2;

pub(super) const LOSS: Definition = Definition {
    name: "seesaw",
    paper: Paper {
        cite: "Wang et al., Seesaw Loss for Long-Tailed Instance Segmentation, CVPR",
        year: 2021,
    },
    equation: "L = CE(z + log S_y), S_yj = min(1, (n_j/n_y)^p) max(1, (sigma_j/sigma_y)^q), S_yy = 1, sigma = softmax(z) held fixed",
    note: "n_j are the training counts, to which the paper's running counts come within an epoch",
    options: &[
        Number { name: "p", default: 0.8, range: 0.0..10.0, help: "strength of the mitigation" },
        Number { name: "q", default: 2.0, range: 0.0..10.0, help: "strength of the compensation" },
    ],
    cosine: false,
    form: Form::CrossEntropy(|x| {
        let hot = x.hot()?;
        // log min(1, (n_j/n_y)^p) = p min(0, log n_j − log n_y)
        let log_n = x.each_class(f64::ln)?;
        let own = row_sum(&mul(&hot, &log_n)?)?;
        let mitigation = times(&at_most(&sub(&log_n, &own)?, 0.0)?, x.option("p"))?;
        // log max(1, (σ_j/σ_y)^q) = q max(0, log σ_j − log σ_y); 0 at the label
        let log_p = ops::detach(&x.log_softmax()?);
        let own = at_least(&row_sum(&mul(&hot, &log_p)?)?, FLOOR.ln())?;
        let compensation = times(&at_least(&sub(&log_p, &own)?, 0.0)?, x.option("q"))?;
        // A confident label can exceed its own floor: its factor stays 1.
        let others = sub(&ops::fill(x.logits.gpu(), [1, 1], 1.0), &hot)?;
        let log_s = mul(&add(&mitigation, &compensation)?, &others)?;
        Ok(Adjusted::logits(add(x.logits, &log_s)?))
    }),
};
