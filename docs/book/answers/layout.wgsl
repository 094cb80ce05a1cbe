// y[n, h, w, c] = x[n, c, h, w]: from planes to pixels.
//
// Invocation i writes element i of y, so neighbours write neighbours; what they read lies H*W apart.
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
    let c = i % C;
    let pixel = i / C % (H * W);
    let n = i / (C * H * W);
    y[i] = x[(n * C + c) * (H * W) + pixel];
}
