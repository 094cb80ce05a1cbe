//! Pooling.

use super::{Case, constant, normal, spiked};
use serde_json::{Value, json};

/// Windows for both kinds of pooling: name, input, attributes.
fn windows() -> Vec<(&'static str, [usize; 4], Value)> {
    vec![
        ("2x2", [2, 3, 8, 6], json!({"kernel_size": 2})),
        ("2x2_odd", [2, 3, 7, 5], json!({"kernel_size": 2, "stride": 2})),
        ("3x3_s2_p1", [2, 4, 9, 11], json!({"kernel_size": 3, "stride": 2, "padding": 1})),
        ("3x3_s1_p1", [1, 3, 5, 6], json!({"kernel_size": 3, "stride": 1, "padding": 1})),
        ("batch1_channel1", [1, 1, 4, 4], json!({"kernel_size": 2})),
        ("one_pixel", [2, 3, 1, 1], json!({"kernel_size": 1})),
        ("pixel_padded", [2, 3, 1, 1], json!({"kernel_size": 3, "padding": 1})),
        (
            "kernel_3x2_padded",
            [2, 3, 6, 7],
            json!({"kernel_size": [3, 2], "stride": [1, 2], "padding": [1, 0]}),
        ),
        ("whole_plane", [2, 5, 7, 4], json!({"kernel_size": [7, 4]})),
        ("stride_over_kernel", [1, 2, 10, 11], json!({"kernel_size": 2, "stride": 3})),
        ("channels_129", [1, 129, 4, 4], json!({"kernel_size": 2})),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut found = Vec::new();
    for op in ["max_pool2d", "avg_pool2d"] {
        for (name, x, attrs) in windows() {
            found.push(Case::new(format!("{op}/{name}"), attrs, [normal(x)]));
        }
    }
    let overlap = json!({"kernel_size": 3, "stride": 2, "padding": 1});
    found.extend([
        // the first of equal values takes the gradient
        Case::new("max_pool2d/ties", overlap.clone(), [constant([2, 3, 7, 7], 0.5)]),
        Case::new("max_pool2d/zeros", overlap.clone(), [spiked([2, 3, 7, 7], 0.0, 4, -1.0)]),
        Case::new("max_pool2d/all_negative", overlap.clone(), [constant([1, 2, 5, 5], -3.0)]),
        Case::new(
            "max_pool2d/minus_infinite",
            overlap,
            [spiked([1, 2, 6, 6], 1.0, 2, f64::NEG_INFINITY)],
        ),
    ]);
    let planes = [
        ("resnet_64", [4, 64, 8, 8]),
        ("odd", [3, 5, 7, 9]),
        ("one_element", [1, 1, 1, 1]),
        ("one_pixel", [2, 7, 1, 1]),
        ("channels_2048", [2, 2048, 2, 2]),
        ("large_plane", [1, 3, 33, 31]),
    ];
    found.extend(
        planes
            .map(|(name, x)| Case::new(format!("global_avg_pool/{name}"), json!({}), [normal(x)])),
    );
    found
}
