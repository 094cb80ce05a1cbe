// y = x^2, dx = 2 x dy.

fn forward(x: f32) -> f32 {
    return x * x;
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return 2.0 * x * dy;
}
