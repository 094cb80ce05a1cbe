// ReLU without residual: its input z = (x - mean) w invstd + b is computed again from x, by the
// forward pass's own expression, which saves reading y. For w = gamma, b = beta (or 1, 0).
// Bindings: gamma, beta (not read without AFFINE).
@group(0) @binding(GATE_AT) var<storage, read> gamma: array<f32>;
@group(0) @binding(GATE_AT + 1) var<storage, read> beta: array<f32>;

// (w, b) of a channel.
fn gate_affine(channel: u32) -> vec2<f32> {
    if AFFINE == 0u {
        return vec2<f32>(1.0, 0.0);
    }
    return vec2<f32>(gamma[channel], beta[channel]);
}

fn gate(g: Pack, z: Pack, at: u32) -> Pack {
    return select(splat(0.0), g, z > splat(0.0));
}
