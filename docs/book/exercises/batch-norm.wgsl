// Batch norm in training, forward and backward; one workgroup a channel.
//
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
    var sum = 0.0;
    for (var i = thread; i < COUNT; i += WORKGROUP) {
        sum += x[element(c, i)];
    }
    let mean = workgroup_sum(vec4<f32>(sum, 0.0, 0.0, 0.0), thread).x / f32(COUNT);
    // The variance; the two sums over dy; then y and dx.
}
