// loss[n] = log(sum of exp z[n, .]) - z[n, label], dz = gradient of the mean of loss; a workgroup a row.
//
// Constants: N, C. Grid: N workgroups.
// Bindings: 0 z [N, C], 1 labels [N], 2 loss [N], 3 dz [N, C].
// The library's reductions want the constant WORKGROUP: workgroup_max(v, thread) and
// workgroup_sum(v, thread) take a vec4 of every thread and give all of them the result.
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read> z: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> dz: array<f32>;

const WORKGROUP: u32 = 32u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = wg.x * C;
    var sum = 0.0;
    for (var j = thread; j < C; j += WORKGROUP) {
        sum += exp(z[row + j]);
    }
    let total = workgroup_sum(vec4<f32>(sum, 0.0, 0.0, 0.0), thread).x;
    // loss[wg.x] = ..., dz[row + j] = ...
}
