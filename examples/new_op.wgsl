// Leaky ReLU. forward: y = x if x > 0, else SLOPE x.  backward: dx = dy if x > 0, else SLOPE dy.
// Grid: linear, 64 elements a workgroup. Bindings: 0 x, 1 dy (x again in forward), 2 result.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> by: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn leaky(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) count: vec3u,
         @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * count.x) * 64u + lane;
    if i < arrayLength(&result) {
        result[i] = select(SLOPE, 1.0, x[i] > 0.0) * by[i];
    }
}
