// y = 1 / (1 + e^-x), dx = y (1 - y) dy. By e^-|x|, which never overflows.

fn forward(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(1.0, e, x < 0.0) / (1.0 + e);
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return dy * y * (1.0 - y);
}
