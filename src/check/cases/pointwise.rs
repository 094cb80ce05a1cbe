//! Elementwise ops, sums, and changes of shape.

use super::{Case, Fill, InputSpec, constant, normal, positive, scaled, spiked};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    let binaries = ["add", "sub", "mul", "div", "maximum"].map(binary).concat();
    [relu(), unaries(), binaries, reductions("sum"), reductions("mean"), shapes()].concat()
}

fn relu() -> Vec<Case> {
    let mut found: Vec<Case> = [1usize, 7, 64, 255, 257, 1000, 4099]
        .into_iter()
        .map(|n| Case::new(format!("relu/length_{n}"), json!({}), [normal([n])]))
        .collect();
    found.extend([
        Case::new("relu/four_axes", json!({}), [normal([2, 3, 5, 7])]),
        Case::new("relu/zeros", json!({}), [spiked([3, 11], 1.0, 3, 0.0)]),
        Case::new("relu/all_negative", json!({}), [constant([4, 5], -2.0)]),
        Case::new("relu/infinite", json!({}), [spiked([37], 1.0, 5, f64::INFINITY)]),
        Case::new("relu/minus_infinite", json!({}), [spiked([37], 1.0, 5, f64::NEG_INFINITY)]),
        Case::new("relu/tiny", json!({}), [scaled([40], 0.0, 1e-30)]).within(1e-5, 0.0),
    ]);
    found
}

/// The other functions of one input: lengths about a pack of four and a workgroup's share, values of
/// both signs where the function takes them, and values far from 0.
fn unaries() -> Vec<Case> {
    let signed = ["abs", "exp", "gelu", "neg", "sigmoid", "softplus", "square", "tanh"];
    let mut found = Vec::new();
    let rests = ["digamma_rest", "stirling_rest"];
    for op in ["log", "reciprocal", "sqrt"].into_iter().chain(signed).chain(rests) {
        let input = |shape: &[usize]| match op {
            "log" | "reciprocal" | "sqrt" | "digamma_rest" | "stirling_rest" => positive(shape),
            _ => normal(shape),
        };
        let case = |name: &str, x| Case::new(format!("{op}/{name}"), json!({}), [x]);
        for n in [1usize, 7, 257, 4099] {
            found.push(case(&format!("length_{n}"), input(&[n])));
        }
        found.push(case("four_axes", input(&[2, 3, 5, 7])));
        found.push(match op {
            // 1e-6 of e^x or x² is what the exponent's own rounding makes
            "exp" => case("sd_20", scaled([40], 0.0, 20.0)),
            "log" | "sqrt" => case("huge", scaled([40], 1e9, 1e8)),
            // Both sides of 4, where the series begins.
            "digamma_rest" | "stirling_rest" => {
                let fill = Fill::Uniform { low: 1.0, high: 9.0 };
                case("to_9", InputSpec { shape: vec![4099], fill })
            }
            "reciprocal" => case("huge", scaled([40], 1e3, 1e2)),
            _ => case("sd_20", scaled([40], 0.0, 20.0)),
        });
    }
    let infinities = ["abs", "exp", "neg", "sigmoid", "softplus", "square", "tanh"];
    found.extend(infinities.into_iter().flat_map(|op| {
        [("infinite", f64::INFINITY), ("minus_infinite", f64::NEG_INFINITY)].map(|(name, v)| {
            Case::new(format!("{op}/{name}"), json!({}), [spiked([11], 1.0, 3, v)]).forward_only()
        })
    }));
    for op in rests {
        let far =
            |name: &str, mean| Case::new(format!("{op}/{name}"), json!({}), [constant([5], mean)]);
        found.extend([far("one", 1.0), far("huge", 1e4), far("small", 0.01)]);
    }
    found
}

fn binary(op: &str) -> Vec<Case> {
    let case = |name: &str, x: &[usize], y: &[usize]| {
        let longest = x.iter().chain(y).product();
        let other = if op == "div" { positive(y) } else { normal(y) };
        Case::new(format!("{op}/{name}"), json!({}), [normal(x), other]).summing(longest)
    };
    vec![
        case("same", &[2, 3, 5, 7], &[2, 3, 5, 7]),
        case("one_element", &[1], &[1]),
        case("length_1023", &[1023], &[1023]),
        case("length_4099", &[4099], &[4099]),
        case("channel", &[2, 3, 4, 5], &[3, 1, 1]),
        case("channel_four_axes", &[2, 3, 4, 5], &[1, 3, 1, 1]),
        case("row", &[7, 10], &[10]),
        case("column", &[7, 10], &[7, 1]),
        case("both_repeat", &[5, 1], &[1, 9]),
        case("both_repeat_four_axes", &[2, 1, 4, 1], &[3, 1, 5]),
        case("scalar", &[3, 5], &[]),
        case("scalar_first", &[], &[3, 5]),
        case("one_with_many", &[1], &[6, 4]),
        case("long_reduction", &[600, 3], &[3]),
    ]
}

fn reductions(op: &str) -> Vec<Case> {
    let case = |name: &str, shape: &[usize], attrs| {
        Case::new(format!("{op}/{name}"), attrs, [normal(shape)])
    };
    vec![
        case("all", &[2, 3, 4, 5], json!({})),
        case("one_element", &[1], json!({})),
        case("length_1000", &[1000], json!({})).within(1e-5, 3e-5),
        case("length_65537", &[65_537], json!({})).within(1e-5, 1e-3),
        case("rows", &[17, 33], json!({"dim": 1})),
        case("columns", &[17, 33], json!({"dim": 0})),
        case("last_negative", &[3, 4, 5], json!({"dim": -1})),
        case("middle", &[3, 300, 5], json!({"dim": [1]})).within(1e-5, 2e-5),
        case("plane", &[2, 3, 7, 5], json!({"dim": [2, 3]})),
        case("batch_and_plane_keepdim", &[4, 3, 5, 6], json!({"dim": [0, 2, 3], "keepdim": true})),
        case("all_keepdim", &[3, 4], json!({"keepdim": true})),
        case("extent_1", &[5, 1, 3], json!({"dim": 1})),
        Case::new(format!("{op}/large_mean"), json!({"dim": 1}), [scaled([3, 500], 100.0, 1.0)]),
    ]
}

fn shapes() -> Vec<Case> {
    let reshape = |name: &str, from: &[usize], to: &[i64]| {
        Case::new(format!("reshape/{name}"), json!({"shape": to}), [normal(from)])
    };
    let rows = |name: &str, from: &[usize], first: usize, count: usize| {
        let attrs = json!({"first": first, "count": count});
        Case::new(format!("rows/{name}"), attrs, [normal(from)])
    };
    let shortcut = |name: &str, x: [usize; 4], planes: usize| {
        Case::new(format!("shortcut_a/{name}"), json!({"planes": planes}), [normal(x)])
    };
    vec![
        reshape("flatten", &[2, 3, 4, 5], &[2, 60]),
        reshape("open_extent", &[6, 10], &[3, -1, 2]),
        reshape("to_one_axis", &[3, 5, 7], &[-1]),
        reshape("to_scalar", &[1, 1], &[]),
        reshape("same", &[4, 4], &[4, 4]),
        rows("first_third", &[9, 5], 0, 3),
        rows("last_two_thirds", &[9, 5], 3, 6),
        rows("all", &[4, 3], 0, 4),
        rows("one_of_a_vector", &[7], 6, 1),
        rows("four_axes", &[5, 2, 3, 7], 1, 3),
        rows("long", &[1000, 33], 77, 800),
        shortcut("resnet_16_to_32", [2, 16, 32, 32], 32),
        shortcut("resnet_32_to_64", [2, 32, 16, 16], 64),
        shortcut("small_8_to_16", [2, 8, 8, 8], 16),
        shortcut("small_16_to_32", [2, 16, 16, 16], 32),
        shortcut("odd", [2, 3, 7, 5], 7),
        shortcut("batch1_channel1", [1, 1, 5, 4], 3),
        shortcut("one_pixel", [3, 2, 1, 1], 4),
        shortcut("same_channels", [2, 3, 6, 6], 3),
        Case::new("shortcut_a/stride_1", json!({"planes": 6, "stride": 1}), [normal([2, 4, 3, 5])]),
    ]
}
