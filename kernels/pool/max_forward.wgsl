// y[p, oy, ox] = max over the window of x[p, oy SH - PH + ky, ox SW - PW + kx], padding = -inf;
// argmax = iy W + ix of the first maximum. A NaN wins, as in PyTorch.
//
// Mapping: a thread per output. Grid: linear, 64 outputs a workgroup.
// Bindings: 0 x, 1 y, 2 argmax. Constants: window.wgsl.
#include "window"

#input x 0 f32
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> argmax: array<u32>;

// By bits: `x != x` is folded to false on some drivers.
fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

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
    var best = 0.0;
    var place = 0u;
    var found = false;
    for (var ky = 0u; ky < KH; ky++) {
        let iy = oy * SH + ky - PH; // wraps below 0, so that one comparison finds both edges
        for (var kx = 0u; kx < KW; kx++) {
            let ix = ox * SW + kx - PW;
            if (iy < H && ix < W) {
                let v = x(plane + iy * W + ix);
                if (!found || v > best || is_nan(v)) {
                    best = v;
                    place = iy * W + ix;
                    found = true;
                }
            }
        }
    }
    y[index] = best;
    argmax[index] = place;
}
