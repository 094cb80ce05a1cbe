//! The gradients against finite differences of the forward, on every case; and what is refused.

use super::{Array, OPS, grads, op, run};
use crate::check::cases::{Case, Fill, all};
use serde_json::{Value, json};

/// Σ output·grad_out: the scalar whose gradient [`grads`] gives.
fn scalar(case: &Case, inputs: &[Array], grad_out: &Array) -> f64 {
    let outputs = run(case.op, &case.attrs, inputs).unwrap();
    outputs[0].data.iter().zip(&grad_out.data).map(|(y, g)| y * g).sum()
}

/// d/dt of the scalar as `inputs[k]` moves along `direction`: central differences over ±h and ±2h,
/// whose error is of order h⁴.
fn slope(case: &Case, inputs: &[Array], k: usize, direction: &[f64], h: f64, g: &Array) -> f64 {
    let at = |t: f64| {
        let mut moved = inputs.to_vec();
        for (x, d) in moved[k].data.iter_mut().zip(direction) {
            *x += t * d;
        }
        scalar(case, &moved, g)
    };
    (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h)
}

/// The step: small beside the input's scale. The norm of NBN's zero bias bends within ε.
fn step(case: &Case, k: usize) -> f64 {
    match (case.op, k, &case.inputs[k].fill) {
        ("normalized_batch_norm", 4, Fill::Constant(0.0)) => {
            1e-7 * case.attrs["norm_eps"].as_f64().unwrap_or(1e-6)
        }
        (_, _, Fill::Normal { sd, .. }) => 3e-4 * sd.min(1.0),
        _ => 3e-5,
    }
}

/// Directions to try: single elements of a small input, and every element at once (±1, but not where
/// a kink is: equal values in a maximum, 0 in a ReLU, infinities).
fn directions(case: &Case, x: &Array) -> Vec<Vec<f64>> {
    let kink = matches!(case.op, "relu" | "abs");
    let smooth = |v: f64| v.is_finite() && (!kink || v.abs() > 1e-2);
    let sign = |i: usize| if (i * 2_654_435_761) & 64 == 0 { 1.0 } else { -1.0 };
    let masked = |(i, v): (usize, &f64)| if smooth(*v) { sign(i) } else { 0.0 };
    let mut found = vec![x.data.iter().enumerate().map(masked).collect::<Vec<f64>>()];
    let cheap =
        case.inputs.iter().map(|i| i.shape.iter().product::<usize>()).sum::<usize>() <= 2000;
    if !cheap {
        return found;
    }
    let stride = x.len().div_ceil(10);
    for i in (0..x.len()).step_by(stride).filter(|i| smooth(x.data[*i])) {
        let mut one = vec![0.0; x.len()];
        one[i] = 1.0;
        found.push(one);
    }
    found
}

#[test]
fn gradients_match_finite_differences() {
    let mut checked = 0;
    for case in all().iter().filter(|c| c.grad) {
        // The maximum has kinks everywhere in a constant input; PyTorch's files check those cases.
        let level = matches!(case.inputs[0].fill, Fill::Constant(_) | Fill::Spiked { .. });
        // Huge values leave no digits for a difference.
        let huge = case.name.ends_with("huge") || case.name == "relu/tiny";
        // Two drawn numbers may be as close as the step.
        if (case.op == "max_pool2d" && level) || case.op == "maximum" || huge {
            continue;
        }
        let inputs = case.inputs();
        let outputs = run(case.op, &case.attrs, &inputs).unwrap();
        if outputs[0].data.iter().any(|v| !v.is_finite()) {
            continue;
        }
        let g = case.grad_outs(&outputs).remove(0);
        let found = grads(case.op, &case.attrs, &inputs, std::slice::from_ref(&g)).unwrap();
        assert_eq!(found.len(), inputs.len(), "{}", case.name);
        for (k, x) in inputs.iter().enumerate() {
            let fixed = op(case.op).unwrap().fixed.contains(&k);
            assert_eq!(found[k].is_none(), fixed, "{} input {k}", case.name);
            let Some(dx) = &found[k] else { continue };
            assert_eq!(dx.shape, x.shape, "{} input {k}", case.name);
            let largest = dx.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for direction in directions(case, x) {
                let wanted: f64 = dx.data.iter().zip(&direction).map(|(a, b)| a * b).sum();
                let moved = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
                let numeric = slope(case, &inputs, k, &direction, step(case, k), &g);
                let bound = 1e-6 * wanted.abs().max(largest * moved).max(1e-3);
                assert!(
                    (numeric - wanted).abs() <= bound,
                    "{} input {k}: {wanted} analytic, {numeric} numeric, largest {largest}",
                    case.name
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 2000, "only {checked} slopes were checked");
}

#[test]
fn every_op_has_cases_with_gradients() {
    for info in OPS {
        let count = all().iter().filter(|c| c.op == info.name && c.grad).count();
        assert!(count >= 5, "{} has {count} cases", info.name);
    }
}

fn refused(op: &str, attrs: Value, shapes: &[&[usize]]) -> String {
    let inputs: Vec<Array> =
        shapes.iter().map(|s| Array::new(*s, vec![0.5; s.iter().product()])).collect();
    run(op, &attrs, &inputs).unwrap_err().to_string()
}

#[test]
fn a_wrong_request_is_named() {
    let x: &[usize] = &[2, 4, 5, 5];
    for (op, attrs, shapes, word) in [
        ("conv3d", json!({}), vec![x], "`conv3d`"),
        ("conv2d", json!({"strides": 2}), vec![x, &[3, 4, 3, 3]], "`strides`"),
        ("conv2d", json!({"stride": 0}), vec![x, &[3, 4, 3, 3]], "`stride`"),
        ("conv2d", json!({"padding": "same"}), vec![x, &[3, 4, 3, 3]], "`padding`"),
        ("conv2d", json!({"padding": 1048576}), vec![x, &[3, 4, 3, 3]], "too large"),
        ("conv2d", json!({}), vec![x, &[3, 3, 3, 3]], "axis 1"),
        ("conv2d", json!({}), vec![x, &[3, 4, 7, 3]], "spans"),
        ("conv2d", json!({}), vec![x], "2 to 3 inputs"),
        ("linear", json!({}), vec![&[2, 3], &[4, 5]], "5 features"),
        ("relu", json!({"inplace": true}), vec![x], "`inplace`"),
        ("add", json!({}), vec![&[2, 3], &[2]], "do not broadcast"),
        ("batch_norm", json!({"training": true}), vec![&[1, 3], &[3], &[3]], "more than one value"),
        ("batch_norm", json!({"training": 1}), vec![x, &[4], &[4]], "`training`"),
        ("max_pool2d", json!({}), vec![x], "`kernel_size` is missing"),
        ("max_pool2d", json!({"kernel_size": 2, "ceil_mode": true}), vec![x], "`ceil_mode`"),
        ("max_pool2d", json!({"kernel_size": 2, "padding": 2}), vec![x], "half the window"),
        ("cross_entropy", json!({}), vec![&[3, 4], &[3]], "target 0.5"),
        ("cross_entropy", json!({"reduction": "max"}), vec![&[3, 4], &[3]], "target 0.5"),
        ("softmax", json!({"dim": 4}), vec![x], "`dim` 4"),
        ("reshape", json!({"shape": [-1, 3]}), vec![x], "cannot become"),
        ("reshape", json!({"shape": [-1, -1]}), vec![x], "cannot become"),
        ("shortcut_a", json!({"planes": 5}), vec![x], "5 planes"),
        ("shortcut_a", json!({}), vec![x], "`planes` is missing"),
        ("sum", json!([1]), vec![x], "object"),
    ] {
        let message = refused(op, attrs, &shapes);
        assert!(message.contains(word), "{op}: {message}");
    }
    let inputs = [Array::new([3], vec![1.0; 2])];
    assert!(run("relu", &json!({}), &inputs).is_err());
    let x = [Array::new([2], vec![1.0; 2])];
    assert!(grads("relu", &json!({}), &x, &[Array::new([3], vec![1.0; 3])]).is_err());
    assert!(grads("relu", &json!({}), &x, &[]).is_err());
}

#[test]
fn options_without_a_case() {
    // along the first axis, and more than two axes
    let x = Array::new([2, 1, 3], vec![0.0, 1.0, 2.0, 0.0, 3.0, 2.0]);
    let y = &run("softmax", &json!({"dim": 0}), &[x]).unwrap()[0];
    assert_eq!(y.data[0], 0.5);
    assert!((y.data[1] - 1.0 / (1.0 + 2f64.exp())).abs() < 1e-15);
    // padding left out of the average
    let x = Array::new([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]);
    let attrs = json!({"kernel_size": 2, "stride": 2, "padding": 1, "count_include_pad": false});
    let y = &run("avg_pool2d", &attrs, std::slice::from_ref(&x)).unwrap()[0];
    assert_eq!(y.data, [1.0, 2.0, 3.0, 4.0]);
    let all = json!({"kernel_size": 2, "stride": 2, "padding": 1});
    assert_eq!(run("avg_pool2d", &all, &[x]).unwrap()[0].data, [0.25, 0.5, 0.75, 1.0]);
    // NaN wins a maximum
    let x = Array::new([1, 1, 1, 3], vec![1.0, f64::NAN, 5.0]);
    let y = run("max_pool2d", &json!({"kernel_size": [1, 3]}), &[x]).unwrap();
    assert!(y[0].data[0].is_nan());
    // a third axis of a linear layer's input
    let x = Array::new([2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]);
    let w = Array::new([1, 2], vec![10.0, 1.0]);
    assert_eq!(run("linear", &Value::Null, &[x, w]).unwrap()[0].data, [12.0, 34.0]);
}
