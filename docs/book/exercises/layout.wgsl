// y[n, h, w, c] = x[n, c, h, w]: from planes to pixels.
//
// Constants: N, C, H, W. Grid: linear, at least N*C*H*W invocations.
// Bindings: 0 x [N, C, H, W], 1 y [N, H, W, C].

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= N * C * H * W {
        return;
    }
    // Which element of y is i, and where does it lie in x?
    y[i] = x[i];
}
