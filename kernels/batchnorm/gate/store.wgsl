// ReLU by its output y; what passes is the residual's gradient and is written. Bindings: y, masked.
#input y GATE_AT Pack
@group(0) @binding(GATE_AT + 1) var<storage, read_write> masked: array<Pack>;

fn gate_affine(channel: u32) -> vec2<f32> {
    return vec2<f32>();
}

fn gate(g: Pack, z: Pack, at: u32) -> Pack {
    let passed = select(splat(0.0), g, y(at) > splat(0.0));
    masked[at] = passed;
    return passed;
}
