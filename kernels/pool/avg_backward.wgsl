// dx[p, iy, ix] = sum of dy over the windows of plane p that cover (iy, ix), / (KH KW).
//
// Mapping: a thread per input, which visits the windows that cover it (no atomics, a fixed order).
// Grid: linear, 64 inputs a workgroup. Bindings: 0 dy, 1 dx. Constants: window.wgsl.
#include "window"

#input dy 0 f32
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    if (index >= arrayLength(&dx)) {
        return;
    }
    let ix = remainder(index, W);
    let iy = remainder(index / W, H);
    let plane = index / (W * H) * (OH * OW);
    let x_end = end_window(ix + PW, SW, OW);
    let y_end = end_window(iy + PH, SH, OH);
    var sum = 0.0;
    for (var oy = first_window(iy + PH, KH, SH); oy < y_end; oy++) {
        for (var ox = first_window(ix + PW, KW, SW); ox < x_end; ox++) {
            sum += dy(plane + oy * OW + ox);
        }
    }
    dx[index] = sum / f32(KH * KW);
}
