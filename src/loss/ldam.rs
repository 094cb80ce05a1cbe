//! LDAM: a margin for each class, larger for rarer ones.

use super::terms::{mul, sub};
use super::{Adjusted, Definition, Form, Number, Paper};

pub(super) const LOSS: Definition = Definition {
    name: "ldam",
    paper: Paper {
        cite: "Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS",
        year: 2019,
    },
    equation: "L = CE(s (cos - m_y e_y)), m_j = max_margin n_j^{-1/4} / max_k n_k^{-1/4}",
    note: "DRW is `class_weights = \"effective\"`, `reweight_from = 0.8`",
    options: &[Number {
        name: "max_margin",
        default: 0.5,
        range: 0.0..2.0,
        help: "the rarest class's margin, of a cosine",
    }],
    cosine: true,
    form: Form::CrossEntropy(|x| {
        let rarest = x.fewest().powf(-0.25);
        let largest = x.number("max_margin") * f64::from(x.scale);
        let margins = x.each_class(|n| largest * n.powf(-0.25) / rarest)?;
        Ok(Adjusted::logits(sub(x.logits, &mul(&x.hot()?, &margins)?)?))
    }),
};
