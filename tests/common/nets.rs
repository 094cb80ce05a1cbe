//! Networks and images that tests train on.

#![allow(dead_code, reason = "each test takes what it needs")]

use evenkeel::data::{self, DataSpec, Splits};
use evenkeel::nn::{BiasStart, Experts, Head, NormKind, NormLayers, Norms, Projected, Spec};

/// Made-up images of ten classes: so many of the first, of the last as `imbalance` says.
pub fn images(of_the_first: usize, imbalance: f64) -> Splits {
    let spec = DataSpec {
        train_per_class: Some(of_the_first),
        test_per_class: Some(1),
        imbalance,
        ..DataSpec::default()
    };
    data::load(&spec).expect("a data set")
}

/// A network of ten classes with a linear head.
pub fn network(model: &str, kind: NormKind, start: BiasStart) -> Spec<'_> {
    Spec {
        model,
        classes: 10,
        head: Head::Linear,
        experts: Experts::ONE,
        norms: Norms::new(kind, NormLayers::LastStage, start),
        projected: Projected::NONE,
    }
}
