// y = a + b, da = dy, db = dy.

fn forward(a: f32, b: f32) -> f32 {
    return a + b;
}

fn backward_a(a: f32, b: f32, dy: f32) -> f32 {
    return dy;
}

fn backward_b(a: f32, b: f32, dy: f32) -> f32 {
    return dy;
}
