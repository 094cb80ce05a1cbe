// y = max(x, 0), dx = dy where y > 0. NaN stays NaN: `max` may drop it.

fn forward(x: f32) -> f32 {
    return select(x, 0.0, x < 0.0);
}

fn backward(x: f32, y: f32, dy: f32) -> f32 {
    return select(dy, 0.0, y <= 0.0);
}
