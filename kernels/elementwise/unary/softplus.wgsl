// y = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), dx = sigmoid(x) dy. Never overflows.

fn forward(x: f32) -> f32 {
    return select(x, 0.0, x < 0.0) + log1p(exp(-abs(x)));
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    let e = exp(-abs(x));
    return dy * select(1.0, e, x < 0.0) / (1.0 + e);
}
