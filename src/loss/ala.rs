//! Adaptive logit adjustment: the label's logit is lowered by its difficulty and rarity.

use super::terms::{mul, plus, sub, times};
use super::{Adjusted, Definition, Form, Paper};
use crate::ops;

pub(super) const LOSS: Definition = Definition {
    name: "ala",
    paper: Paper {
        cite: "Zhao et al., Adaptive Logit Adjustment Loss for Long-Tailed Visual Recognition, AAAI",
        year: 2022,
    },
    equation: "L = CE(z - a e_y), a = s (1 - cos_y)/2 log 2 / log(n_y/n_min + 1), a held fixed",
    note: "the formula is from two independent implementations; the paper's own code was not found",
    options: &[],
    cosine: true,
    form: Form::CrossEntropy(|x| {
        let fewest = x.fewest();
        let rarity = x.each_class(|n| 2f64.ln() / (n / fewest + 1.0).ln())?;
        // s (1 − cos)/2 = (s − z)/2
        let difficulty = plus(&times(x.logits, -0.5)?, 0.5 * x.scale)?;
        let adjustment = ops::detach(&mul(&difficulty, &rarity)?);
        Ok(Adjusted::logits(sub(x.logits, &mul(&adjustment, &x.hot()?)?)?))
    }),
};
