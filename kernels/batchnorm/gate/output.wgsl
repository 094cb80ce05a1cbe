// ReLU by its output y. Bindings: y.
#input y GATE_AT Pack

fn gate_affine(channel: u32) -> vec2<f32> {
    return vec2<f32>();
}

fn gate(g: Pack, z: Pack, at: u32) -> Pack {
    return select(splat(0.0), g, y(at) > splat(0.0));
}
