//! What is minimised: one file a loss, each a [`Definition`] found by its name.
//!
//! logits [N, C], labels \[N\], class counts → the loss's adjusted logits (a cross-entropy follows, fused
//! with its gradient) or a loss for each row → class weights and the mean ([`Objective`]). Gradients come
//! from the ops. The build script lists the folder, so adding a loss takes one file.

pub mod centroids;
pub mod contrast;
mod distill;
mod evidence;
mod groups;
mod objective;
pub mod parametric;
mod terms;

pub use distill::{Distillation, Teaching};
pub use evidence::Evidence;
pub use objective::{Objective, ObjectiveSpec, Weights};
pub use terms::Input;

use crate::error::{Error, Result, unknown};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::ops::Range;

include!(concat!(env!("OUT_DIR"), "/losses.rs"));

/// A paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Authors, title, venue.
    pub cite: &'static str,
    /// Its year.
    pub year: u16,
}

/// A number that a loss takes from the recipe's `loss_options`.
#[derive(Clone, Debug)]
pub struct Number {
    /// Its name.
    pub name: &'static str,
    /// What it is when not given.
    pub default: f64,
    /// What it may be, the end excluded.
    pub range: Range<f64>,
    /// What it does.
    pub help: &'static str,
}

/// A loss.
pub struct Definition {
    /// Its name in recipes.
    pub name: &'static str,
    /// The paper it is from.
    pub paper: Paper,
    /// The equation; z are the logits, y the label, p = softmax(z), n_j the training counts.
    pub equation: &'static str,
    /// What differs from the paper, or is not known of it; empty where nothing.
    pub note: &'static str,
    /// What it takes from `loss_options`.
    pub options: &'static [Number],
    /// It is defined on cosines: the head must be `cosine`.
    pub cosine: bool,
    /// How it is computed.
    pub form: Form,
}

/// How a loss is computed.
pub enum Form {
    /// Cross-entropy of adjusted logits.
    CrossEntropy(fn(&Input<'_>) -> Result<Adjusted>),
    /// The loss of each row \[N\].
    Rows(fn(&Input<'_>) -> Result<Tensor>),
}

/// Logits as a loss changes them for training.
pub struct Adjusted {
    /// [N, C].
    pub logits: Tensor,
    /// Added to every row; as many as classes.
    pub offsets: Option<Vec<f64>>,
}

impl Adjusted {
    /// Changed logits.
    pub fn logits(logits: Tensor) -> Self {
        Adjusted { logits, offsets: None }
    }
}

/// The loss called `name`.
///
/// # Errors
/// An unknown name, with the nearest known one.
pub fn find(name: &str) -> Result<&'static Definition> {
    LOSSES.iter().copied().find(|d| d.name == name).ok_or_else(|| unknown("loss", name, &names()))
}

/// The names of all losses.
pub fn names() -> Vec<&'static str> {
    LOSSES.iter().map(|d| d.name).collect()
}

impl Definition {
    /// The value of each option: as given, else its default.
    ///
    /// # Errors
    /// A name that this loss does not take, or a number out of range.
    pub fn values(&self, given: &BTreeMap<String, f64>) -> Result<BTreeMap<&'static str, f64>> {
        for name in given.keys() {
            let known: Vec<&str> = self.options.iter().map(|o| o.name).collect();
            match known.as_slice() {
                [] => {
                    let text = format!("loss {} takes no options, but {name} was given", self.name);
                    return Err(Error::usage(text));
                }
                known if !known.contains(&name.as_str()) => {
                    return Err(unknown(&format!("option of loss {}", self.name), name, known));
                }
                _ => {}
            }
        }
        let value = |o: &Number| {
            let value = given.get(o.name).copied().unwrap_or(o.default);
            if o.range.contains(&value) {
                return Ok((o.name, value));
            }
            let (low, high) = (o.range.start, o.range.end);
            Err(Error::usage(format!(
                "loss {}: {} is {value}; it must be at least {low} and below {high}",
                self.name, o.name
            )))
        };
        self.options.iter().map(value).collect()
    }
}
