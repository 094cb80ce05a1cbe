// Batch norm in training, forward and backward; one workgroup a channel.
//
// Every sum is of differences to the channel's first element, so a large mean costs no digits.
// Constants: N, C, PLANE. Grid: C workgroups.
// Bindings: 0 x [N, C, PLANE], 1 w [C], 2 b [C], 3 dy [N, C, PLANE],
//           4 y, 5 dx [N, C, PLANE], 6 dw, 7 db [C].
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> dw: array<f32>;
@group(0) @binding(7) var<storage, read_write> db: array<f32>;

const WORKGROUP: u32 = 64u;
const COUNT: u32 = N * PLANE;

// Where the channel's i-th element lies.
fn element(channel: u32, i: u32) -> u32 {
    return (i / PLANE * C + channel) * PLANE + i % PLANE;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let c = wg.x;
    let pivot = x[element(c, 0u)];
    var sum = 0.0;
    for (var i = thread; i < COUNT; i += WORKGROUP) {
        sum += x[element(c, i)] - pivot;
    }
    let mean = workgroup_sum(vec4<f32>(sum, 0.0, 0.0, 0.0), thread).x / f32(COUNT);

    // Squared deviations, and both sums of the backward but for 1/sigma.
    var sums = vec4<f32>();
    for (var i = thread; i < COUNT; i += WORKGROUP) {
        let d = (x[element(c, i)] - pivot) - mean;
        let g = dy[element(c, i)];
        sums += vec4<f32>(d * d, g, g * d, 0.0);
    }
    sums = workgroup_sum(sums, thread);
    let inverse = 1.0 / sqrt(sums.x / f32(COUNT) + 1e-5);
    if thread == 0u {
        dw[c] = sums.z * inverse;
        db[c] = sums.y;
    }

    let mean_g = sums.y / f32(COUNT);
    let mean_gx = sums.z * inverse / f32(COUNT);
    for (var i = thread; i < COUNT; i += WORKGROUP) {
        let at = element(c, i);
        let hat = ((x[at] - pivot) - mean) * inverse;
        y[at] = w[c] * hat + b[c];
        dx[at] = w[c] * inverse * (dy[at] - mean_g - hat * mean_gx);
    }
}
