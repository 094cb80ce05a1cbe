// y = sqrt(x), dx = dy / (2 y).

fn forward(x: f32) -> f32 {
    return sqrt(x);
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return dy / (2.0 * y);
}
