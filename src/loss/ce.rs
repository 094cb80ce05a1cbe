//! Cross-entropy.

use super::{Adjusted, Definition, Form, Paper};

pub(super) const LOSS: Definition = Definition {
    name: "ce",
    paper: Paper { cite: "cross-entropy", year: 1952 },
    equation: "L = -log p_y",
    note: "",
    options: &[],
    cosine: false,
    form: Form::CrossEntropy(|x| Ok(Adjusted::logits(x.logits.clone()))),
};
