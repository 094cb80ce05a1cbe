// ReLU by its output y. Bindings: y.
@group(0) @binding(GATE_AT) var<storage, read> y: array<Pack>;

fn gate_affine(channel: u32) -> vec2<f32> {
    return vec2<f32>();
}

fn gate(g: Pack, z: Pack, at: u32) -> Pack {
    return select(splat(0.0), g, y[at] > splat(0.0));
}
