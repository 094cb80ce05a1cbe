// y = |x|, dx = sign(x) dy, 0 at 0.

fn forward(x: f32) -> f32 {
    return abs(x);
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return select(select(0.0, -dy, x < 0.0), dy, x > 0.0);
}
