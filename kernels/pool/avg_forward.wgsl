// y[p, oy, ox] = sum over the window of x[p, oy SH - PH + ky, ox SW - PW + kx] / (KH KW): padding
// counts as zeros (PyTorch's count_include_pad).
//
// Mapping: a thread per output. Grid: linear, 64 outputs a workgroup.
// Bindings: 0 x, 1 y. Constants: window.wgsl.
#include "window"

#input x 0 f32
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    if (index >= arrayLength(&y)) {
        return;
    }
    let ox = remainder(index, OW);
    let oy = remainder(index / OW, OH);
    let plane = index / (OW * OH) * (H * W);
    var sum = 0.0;
    for (var ky = 0u; ky < KH; ky++) {
        let iy = oy * SH + ky - PH; // wraps below 0, so that one comparison finds both edges
        for (var kx = 0u; kx < KW; kx++) {
            let ix = ox * SW + kx - PW;
            if (iy < H && ix < W) {
                sum += x(plane + iy * W + ix);
            }
        }
    }
    y[index] = sum / f32(KH * KW);
}
