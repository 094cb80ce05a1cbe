// Backward, second pass.
//
//   g = dy where the ReLU passed, else 0        (the file behind "gate"; or dy is g already)
//   dx = (w invstd) (g - mean(g) - xhat mean(g xhat))       means over the channel's N*H*W elements
//      = scale (g - a - (x - mean) b),  a = sum g / count,  b = invstd sum(g xhat) / count
// With EVAL the statistics are constants: dx = scale g.
//
// planes / columns and their grids: as in apply.wgsl.
// Bindings: 0 dy, 1 x, 2 coefficients [CHANNELS] = (mean, scale, sum g, invstd sum g xhat), 3 dx;
//           from 4 the gate's.
#include "pack"
#include "plane"
#include "gate"

#input dy 0 Pack
#input x 1 Pack
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dx: array<Pack>;

// ANCHOR: apply
// Element `at` of a channel with coefficients k and bias b.
fn apply(at: u32, k: vec4<f32>, b: f32) {
    let d = x(at) - k.x;
    let g = gate(dy(at), d * k.y + b, at);
    if EVAL {
        dx[at] = k.y * g;
    } else {
        dx[at] = k.y * ((g - k.z) - d * k.w);
    }
}
// ANCHOR_END: apply

fn coefficients_of(channel: u32, count: u32) -> vec4<f32> {
    let k = coefficients[channel];
    return vec4<f32>(k.xy, k.zw / f32(count));
}

@compute @workgroup_size(WORKGROUP)
fn planes(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let total = arrayLength(&dx) / CHANNELS;
    let run = run_of(total, wg.y, groups.y);
    let k = coefficients_of(wg.x, total * WIDTH);
    let b = gate_affine(wg.x).y;
    for (var i = run.first + lid; i < run.end; i += WORKGROUP) {
        apply(element(wg.x, i), k, b);
    }
}

@compute @workgroup_size(WORKGROUP)
fn columns(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let channel = wg.x * WORKGROUP + lid;
    if channel >= CHANNELS {
        return;
    }
    let total = arrayLength(&dx) / CHANNELS;
    let run = run_of(total, wg.y, groups.y);
    let k = coefficients_of(channel, total);
    let b = gate_affine(channel).y;
    for (var i = run.first; i < run.end; i++) {
        apply(i * CHANNELS + channel, k, b);
    }
}
