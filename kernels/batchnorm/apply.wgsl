// y = relu?((x - mean) * scale + b + residual?), one pass over x.
//
// planes: workgroup (channel, chunk), a run of the channel's packs each (plane.wgsl).
//         grid (CHANNELS, chunks)
// columns: for H*W = 1: one invocation per channel and chunk of rows. grid (CHANNELS / WORKGROUP, chunks)
// Bindings: 0 x, 1 coefficients [CHANNELS] = (mean, scale, b, -), 2 residual (not read without
//           RESIDUAL), 3 y.
#include "pack"
#include "plane"

#input x 0 Pack
@group(0) @binding(1) var<storage, read> coefficients: array<vec4<f32>>;
#input residual 2 Pack
@group(0) @binding(3) var<storage, read_write> y: array<Pack>;

fn apply(at: u32, k: vec4<f32>) {
    var v = (x(at) - k.x) * k.y + k.z;
    if RESIDUAL {
        v += residual(at);
    }
    if RELU {
        v = max(v, splat(0.0));
    }
    y[at] = v;
}

@compute @workgroup_size(WORKGROUP)
fn planes(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let run = run_of(arrayLength(&y) / CHANNELS, wg.y, groups.y);
    let k = coefficients[wg.x];
    for (var i = run.first + lid; i < run.end; i += WORKGROUP) {
        apply(element(wg.x, i), k);
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
    let run = run_of(arrayLength(&y) / CHANNELS, wg.y, groups.y);
    let k = coefficients[channel];
    for (var i = run.first; i < run.end; i++) {
        apply(i * CHANNELS + channel, k);
    }
}
