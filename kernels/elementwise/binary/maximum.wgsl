// y = max(a, b), NaN if either is; the gradient goes to the larger, half to each of two equals.

fn forward(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
}

fn backward_a(a: f32, b: f32, dy: f32) -> f32 {
    return dy * select(select(0.0, 0.5, a == b), 1.0, a > b);
}

fn backward_b(a: f32, b: f32, dy: f32) -> f32 {
    return dy * select(select(0.0, 0.5, a == b), 1.0, b > a);
}
