//! Softmax and cross-entropy: 1 to 10,000 classes, and logits that overflow a naive exponential.

use super::{Case, InputSpec, constant, labels, normal, positive, scaled, spiked};
use serde_json::{Value, json};

pub(super) fn cases() -> Vec<Case> {
    [probabilities("softmax"), probabilities("log_softmax"), cross_entropy()].concat()
}

fn probabilities(op: &str) -> Vec<Case> {
    let case = |name: &str, x: InputSpec| Case::new(format!("{op}/{name}"), json!({"dim": 1}), [x]);
    let mut found: Vec<Case> = [(1, 1), (3, 1), (1, 2), (3, 10), (17, 33), (5, 100), (2, 1000)]
        .into_iter()
        .map(|(n, c)| case(&format!("{n}x{c}"), normal([n, c])).grads_within(1e-5, 2e-5))
        .collect();
    found.extend([
        case("2x10000", normal([2, 10_000])).grads_within(1e-5, 5e-5),
        case("equal", constant([3, 7], 2.5)),
        case("equal_huge", constant([2, 5], 3e38)),
        case("sd_1000", scaled([6, 12], 0.0, 1000.0)),
        case("mean_10000", scaled([4, 9], 1e4, 1.0)),
        case("mean_minus_10000", scaled([4, 9], -1e4, 1.0)),
        case("minus_infinite", spiked([5, 8], 1.0, 3, f64::NEG_INFINITY)),
        case("infinite_nan", spiked([3, 6], 1.0, 7, f64::INFINITY)).forward_only(),
        case("all_minus_infinite_nan", constant([2, 4], f64::NEG_INFINITY)).forward_only(),
    ]);
    found
}

/// Logits of standard deviation 2, labels, and further inputs.
fn loss(name: &str, n: usize, classes: usize, more: &[InputSpec], attrs: Value) -> Case {
    let mut inputs = vec![scaled([n, classes], 0.0, 2.0), labels(n, classes)];
    inputs.extend_from_slice(more);
    Case::new(format!("cross_entropy/{name}"), attrs, inputs)
}

fn cross_entropy() -> Vec<Case> {
    let weight = |classes: usize| positive([classes]);
    let with_logits = |name: &str, x: InputSpec, attrs: Value| {
        let inputs = [x.clone(), labels(x.shape[0], x.shape[1])];
        Case::new(format!("cross_entropy/{name}"), attrs, inputs)
    };
    let each = json!({"reduction": "none"});
    let mut found: Vec<Case> =
        [(1, 1), (4, 1), (1, 2), (1, 10), (16, 10), (17, 33), (8, 100), (3, 1000), (2, 10_000)]
            .into_iter()
            .map(|(n, c)| loss(&format!("{n}x{c}"), n, c, &[], json!({})))
            .collect();
    found.extend([
        loss("batch_257", 257, 10, &[], json!({})),
        loss("sum", 9, 10, &[], json!({"reduction": "sum"})),
        loss("none", 9, 10, &[], each.clone()),
        loss("smoothing_0.1", 9, 10, &[], json!({"label_smoothing": 0.1})),
        loss("smoothing_1", 5, 7, &[], json!({"label_smoothing": 1.0})).forward_only(),
        loss(
            "smoothing_sum_classes_100",
            4,
            100,
            &[],
            json!({"label_smoothing": 0.2, "reduction": "sum"}),
        ),
        loss("weight", 12, 10, &[weight(10)], json!({})),
        loss("weight_none", 6, 5, &[weight(5)], each.clone()),
        loss("weight_sum", 6, 5, &[weight(5)], json!({"reduction": "sum"})),
        loss("weight_smoothing", 11, 7, &[weight(7)], json!({"label_smoothing": 0.1})),
        loss(
            "weight_smoothing_none",
            5,
            33,
            &[weight(33)],
            json!({"label_smoothing": 0.3, "reduction": "none"}),
        ),
        loss("weight_batch1", 1, 4, &[weight(4)], json!({})),
        loss("offset", 9, 10, &[constant([10], 1.0), normal([10])], json!({})),
        loss(
            "offset_weight_smoothing",
            9,
            10,
            &[weight(10), normal([10])],
            json!({"label_smoothing": 0.1}),
        ),
        with_logits("equal", constant([5, 9], -1.5), json!({})),
        with_logits("equal_huge", constant([3, 4], -3e38), json!({})),
        with_logits("sd_1000", scaled([8, 6], 0.0, 1000.0), json!({})),
        with_logits("sd_1000_none", scaled([8, 6], 0.0, 1000.0), each.clone()),
        with_logits("mean_10000", scaled([6, 5], 1e4, 1.0), each.clone()),
        // a target at −∞ has an infinite loss and a finite gradient
        with_logits("minus_infinite", spiked([10, 5], 1.0, 4, f64::NEG_INFINITY), each.clone()),
        with_logits("infinite_nan", spiked([4, 5], 1.0, 6, f64::INFINITY), each).forward_only(),
    ]);
    found
}
