// y = 1 / x, dx = -y^2 dy.

fn forward(x: f32) -> f32 {
    return 1.0 / x;
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return -dy * y * y;
}
