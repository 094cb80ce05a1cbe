//! Matrix products.

use super::{Case, normal, scaled};
use serde_json::json;

fn linear(name: &str, rows: usize, inner: usize, out: usize, bias: bool) -> Case {
    let sd = 1.0 / (inner as f64).sqrt();
    let mut inputs = vec![normal([rows, inner]), scaled([out, inner], 0.0, sd)];
    if bias {
        inputs.push(normal([out]));
    }
    Case::new(format!("linear/{name}"), json!({}), inputs).summing(rows.max(out))
}

fn matmul(m: usize, k: usize, n: usize) -> Case {
    let sd = 1.0 / (k as f64).sqrt();
    let inputs = [normal([m, k]), scaled([k, n], 0.0, sd)];
    Case::new(format!("matmul/{m}x{k}x{n}"), json!({}), inputs).summing(m.max(n))
}

pub(super) fn cases() -> Vec<Case> {
    let mut found = vec![
        linear("resnet_10", 16, 64, 10, true),
        linear("resnet_100", 17, 64, 100, true),
        linear("batch1", 1, 64, 10, true),
        linear("one_of_each", 1, 1, 1, true),
        linear("one_feature", 5, 1, 7, true),
        linear("one_class", 9, 33, 1, true),
        linear("features_2048", 3, 2048, 7, true),
        linear("classes_10000", 2, 16, 10_000, true),
        linear("no_bias", 7, 13, 11, false),
        linear("batch_128", 128, 64, 10, true),
        linear("no_tile_fits", 31, 257, 3, false),
    ];
    let sizes = [
        (1, 1, 1),
        (7, 5, 3),
        (16, 16, 16),
        (33, 17, 65),
        (64, 64, 64),
        (1, 300, 1),
        (100, 1, 100),
        (1, 64, 129),
        (129, 64, 1),
        (31, 257, 3),
        (128, 96, 130),
        (8, 2048, 8),
    ];
    found.extend(sizes.map(|(m, k, n)| matmul(m, k, n)));
    found
}
