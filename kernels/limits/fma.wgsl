// Multiply-adds and nothing else: how much arithmetic the device does at most.
//
// Mapping: a thread has 16 sums (four vec4) that don't wait for each other; each passes through
// 4 * STEPS multiply-adds. The values settle near 1, so nothing overflows, and come from a buffer, so
// nothing folds. Grid: linear, 64 threads a workgroup.
// Bindings: 0 x [2] = (a, b), 1 y [threads]. Includes: "number" says what a number is.
#include "number"

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let at = (wg.x + wg.y * groups.x) * 64u + thread;
    let a = Four(Number(x[0]));
    let b = Four(Number(x[1]));
    var c0 = Four(Number(f32(thread) * 0.01));
    var c1 = c0 + a;
    var c2 = c1 + a;
    var c3 = c2 + a;
    for (var i = 0u; i < STEPS; i++) {
        c0 = c0 * a + b;
        c1 = c1 * a + b;
        c2 = c2 * a + b;
        c3 = c3 * a + b;
        c0 = c0 * a + b;
        c1 = c1 * a + b;
        c2 = c2 * a + b;
        c3 = c3 * a + b;
        c0 = c0 * a + b;
        c1 = c1 * a + b;
        c2 = c2 * a + b;
        c3 = c3 * a + b;
        c0 = c0 * a + b;
        c1 = c1 * a + b;
        c2 = c2 * a + b;
        c3 = c3 * a + b;
    }
    let c = (c0 + c1) + (c2 + c3);
    if (at < arrayLength(&y)) {
        y[at] = f32(c.x + c.y) + f32(c.z + c.w);
    }
}
