//! Batch normalization, plain and normalized.

use super::{Case, InputSpec, constant, normal, positive, scaled};
use serde_json::{Value, json};

/// The attributes of a training step.
fn training() -> Value {
    json!({"training": true})
}

/// How many values a channel has.
fn per_channel(x: &InputSpec) -> usize {
    x.shape.iter().product::<usize>() / x.shape[1]
}

/// The input and fitting running statistics.
fn statistics(x: InputSpec) -> Vec<InputSpec> {
    let channels = x.shape[1];
    vec![x, normal([channels]), positive([channels])]
}

fn affine(name: &str, x: InputSpec, attrs: Value) -> Case {
    let (terms, c) = (per_channel(&x), x.shape[1]);
    let mut inputs = statistics(x);
    inputs.extend([normal([c]), normal([c])]);
    Case::new(format!("batch_norm/{name}"), attrs, inputs).summing(terms)
}

fn bare(name: &str, x: InputSpec, attrs: Value) -> Case {
    Case::new(format!("batch_norm/{name}"), attrs, statistics(x))
}

/// NBN with γ about `gamma`, β normal, α a vector of `alphas` entries.
fn nbn(name: &str, x: InputSpec, attrs: Value, alphas: usize) -> Case {
    let (terms, c) = (per_channel(&x), x.shape[1]);
    let mut inputs = statistics(x);
    inputs.extend([scaled([c], 1.0, 0.3), normal([c]), scaled([alphas], 1.0, 0.3)]);
    Case::new(format!("normalized_batch_norm/{name}"), attrs, inputs).summing(terms)
}

pub(super) fn cases() -> Vec<Case> {
    let mut found = batch_norm();
    found.extend(normalized());
    found
}

fn batch_norm() -> Vec<Case> {
    let mut found = vec![
        affine("resnet_16", normal([2, 16, 32, 32]), training()),
        affine("resnet_32", normal([2, 32, 16, 16]), training()),
        affine("resnet_64", normal([4, 64, 8, 8]), training()),
        affine("odd", normal([3, 5, 7, 9]), training()),
        affine("batch1", normal([1, 4, 5, 3]), training()),
        affine("batch1_channel1", normal([1, 1, 3, 3]), training()),
        affine("one_pixel", normal([5, 3, 1, 1]), training()),
        affine("batch_67", normal([67, 2, 3, 1]), training()),
        affine("large_plane", normal([1, 2, 61, 67]), training()),
        affine("two_axes", normal([13, 6]), training()),
        affine("mean_3_sd_5", scaled([4, 3, 6, 5], 3.0, 5.0), training()),
        // E[x²] − E[x]² loses the variance here; what is left is the rounding of the mean
        affine("mean_1000_sd_1", scaled([4, 3, 8, 8], 1000.0, 1.0), training())
            .within(1e-4, 1e-3)
            .grads_within(1e-3, 3e-2),
        affine("mean_10000_sd_half", scaled([8, 4, 5, 5], 1e4, 0.5), training())
            .within(1e-3, 1e-2)
            .grads_within(1e-2, 0.6),
        affine("sd_1e-4", scaled([4, 3, 5, 5], 0.0, 1e-4), training()).grads_within(1e-5, 1e-3),
        // 1/σ is 316 here: x/σ − mean/σ instead of (x − mean)/σ is off by 1e-5
        affine("constant", constant([3, 4, 4, 5], 0.75), training())
            .within(1e-5, 5e-5)
            .grads_within(1e-5, 2e-3),
        affine("zero", constant([2, 3, 4, 4], 0.0), training()).grads_within(1e-5, 2e-3),
        // x̂ is ±1 and dx all but cancels
        affine("two_values", normal([2, 3]), training()).grads_within(1e-4, 1e-4),
        affine("momentum_1", normal([4, 3, 3, 3]), json!({"training": true, "momentum": 1.0})),
        affine("momentum_0", normal([4, 3, 3, 3]), json!({"training": true, "momentum": 0.0})),
        affine("eps_1e-3", scaled([4, 3, 3, 3], 0.0, 0.05), json!({"training": true, "eps": 1e-3}))
            .grads_within(1e-5, 1e-4),
        affine("eval", normal([2, 5, 4, 3]), json!({"training": false})),
        affine("eval_batch1_pixel", normal([1, 7, 1, 1]), json!({})),
        affine("eval_two_axes", normal([3, 10]), json!({"eps": 1e-3})),
        affine("eval_channels_2048", normal([1, 2048, 2, 1]), json!({})),
        bare("logits_10", normal([16, 10]), training()),
        bare("logits_100", scaled([8, 100], 2.0, 3.0), training()),
        bare("logits_10000", normal([3, 10_000]), training()).grads_within(1e-4, 1e-4),
        bare("logits_eval", normal([5, 10]), json!({})),
        bare("plane", normal([2, 3, 4, 5]), training()),
    ];
    // A channel of 8 values may have a small variance, hence a large gradient.
    found.extend([1, 2, 3, 7, 64, 129, 512, 2048].map(|c| {
        let name = format!("channels_{c}");
        affine(&name, normal([2, c, 2, 2]), training()).grads_within(1e-4, 1e-4)
    }));
    found
}

fn normalized() -> Vec<Case> {
    // β starts at 0, where its gradient is (α/norm_eps)·Σ dy: 10⁶ times that of a plain bias.
    let zero_bias = |name: &str, attrs: Value| {
        let mut case = nbn(name, normal([4, 16, 4, 4]), attrs, 1);
        let channels = case.inputs[0].shape[1];
        (case.inputs[3], case.inputs[4]) = (constant([channels], 1.0), constant([channels], 0.0));
        case
    };
    let mut tiny = nbn("tiny_vectors", normal([4, 8, 4, 4]), training(), 1);
    tiny.inputs[3] = scaled([8], 0.0, 1e-4);
    tiny.inputs[4] = scaled([8], 0.0, 1e-6);
    let mut scalar = nbn("scalar_alpha", normal([4, 3, 4, 4]), training(), 1);
    scalar.inputs[5].shape = vec![];
    let mut found = vec![
        nbn("resnet_64", normal([4, 64, 8, 8]), training(), 5),
        nbn("odd", normal([3, 5, 7, 9]), training(), 1),
        nbn("batch1", normal([1, 4, 5, 3]), training(), 1),
        nbn("batch1_channel1", normal([1, 1, 3, 3]), training(), 1).grads_within(1e-4, 1e-4),
        nbn("two_axes", normal([13, 6]), training(), 2),
        nbn("eval", normal([2, 5, 4, 3]), json!({}), 1),
        nbn("eval_batch1_pixel", normal([1, 7, 1, 1]), json!({}), 3),
        nbn("momentum_0.3", normal([4, 3, 3, 3]), json!({"training": true, "momentum": 0.3}), 1),
        nbn("norm_eps_0.1", normal([4, 3, 3, 3]), json!({"training": true, "norm_eps": 0.1}), 1),
        nbn("constant", constant([3, 4, 4, 5], 0.75), training(), 1)
            .within(1e-5, 5e-5)
            .grads_within(1e-5, 2e-3),
        nbn("mean_1000_sd_1", scaled([4, 3, 8, 8], 1000.0, 1.0), training(), 1)
            .within(1e-4, 1e-3)
            .grads_within(1e-3, 3e-2),
        scalar,
        tiny.grads_within(1e-4, 10.0),
        zero_bias("zero_bias", training()).grads_within(1e-4, 20.0),
        zero_bias("zero_bias_norm_eps_0.01", json!({"training": true, "norm_eps": 0.01}))
            .grads_within(1e-5, 2e-3),
    ];
    found.extend([2, 7, 64, 129, 512, 2048].map(|c| {
        let name = format!("channels_{c}");
        nbn(&name, normal([2, c, 2, 2]), training(), 1).grads_within(1e-4, 1e-4)
    }));
    found
}
