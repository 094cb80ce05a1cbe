// y = -x, dx = -dy.

fn forward(x: f32) -> f32 {
    return -x;
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return -dy;
}
