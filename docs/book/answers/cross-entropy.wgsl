// loss[n] = log(sum of exp z[n, .]) - z[n, label], dz = gradient of the mean of loss; a workgroup a row.
//
// Subtracting the row's largest logit changes neither: exp then is at most 1, and the sum at least 1.
// Constants: N, C. Grid: N workgroups.
// Bindings: 0 z [N, C], 1 labels [N], 2 loss [N], 3 dz [N, C].
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read> z: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> dz: array<f32>;

const WORKGROUP: u32 = 32u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = wg.x * C;
    let label = labels[wg.x];
    var top = -3.4028234e38;
    for (var j = thread; j < C; j += WORKGROUP) {
        top = max(top, z[row + j]);
    }
    top = workgroup_max(vec4<f32>(top), thread).x;

    var sum = 0.0;
    for (var j = thread; j < C; j += WORKGROUP) {
        sum += exp(z[row + j] - top);
    }
    let total = workgroup_sum(vec4<f32>(sum, 0.0, 0.0, 0.0), thread).x;

    if thread == 0u {
        loss[wg.x] = log(total) - (z[row + label] - top);
    }
    for (var j = thread; j < C; j += WORKGROUP) {
        let p = exp(z[row + j] - top) / total;
        dz[row + j] = (p - select(0.0, 1.0, j == label)) / f32(N);
    }
}
