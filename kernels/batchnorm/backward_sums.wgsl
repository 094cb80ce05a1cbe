// Backward, first pass: the two sums over a channel that every gradient needs.
//
//   g = dy where the ReLU passed, else 0        (the file behind "gate")
//   sums: sum g, sum g xhat with xhat = (x - mean) invstd
// With relu and residual g itself is the residual's gradient: gate/store.wgsl writes it here, and the
// second pass reads it instead of dy and y.
//
// planes / columns and their grids: as in stats.wgsl.
// Bindings: 0 dy, 1 x, 2 mean (entry c), 3 spread (entry SPREAD_AT + c: invstd, or a variance with
//           EVAL), 4 scratch: [CHANNELS] coefficients, then [chunks, CHANNELS] partials
//           (sum g, sum g xhat, mean, invstd); from 5 the gate's.
#include "pack"
#include "reduce.wgsl"
#include "plane"
#include "gate"

#input dy 0 Pack
#input x 1 Pack LENGTH_AT
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> spread: array<f32>;
@group(0) @binding(4) var<storage, read_write> scratch: array<vec4<f32>>;

fn inverse_deviation(channel: u32) -> f32 {
    let v = spread[SPREAD_AT + channel];
    if EVAL {
        return 1.0 / sqrt(v + EPS);
    }
    return v;
}

// ANCHOR: planes
@compute @workgroup_size(WORKGROUP)
fn planes(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let channel = wg.x;
    let run = run_of(x_length() / CHANNELS, wg.y, groups.y);
    let m = mean[channel];
    let invstd = inverse_deviation(channel);
    let wb = gate_affine(channel);
    let scale = wb.x * invstd;
    var sum_g = splat(0.0);
    var sum_gx = splat(0.0);
    for (var i = run.first + lid; i < run.end; i += WORKGROUP) {
        let at = element(channel, i);
        let d = x(at) - m;
        let g = gate(dy(at), d * scale + wb.y, at);
        sum_g += g;
        sum_gx += g * d;
    }
    let total = workgroup_sum(vec4<f32>(fold(sum_g), fold(sum_gx), 0.0, 0.0), lid);
    if lid == 0u {
        scratch[(1u + wg.y) * CHANNELS + channel] = vec4<f32>(total.x, total.y * invstd, m, invstd);
    }
}
// ANCHOR_END: planes

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
    let run = run_of(x_length() / CHANNELS, wg.y, groups.y);
    let m = mean[channel];
    let invstd = inverse_deviation(channel);
    let wb = gate_affine(channel);
    let scale = wb.x * invstd;
    var sum_g = 0.0;
    var sum_gx = 0.0;
    for (var i = run.first; i < run.end; i++) {
        let at = i * CHANNELS + channel;
        let d = x(at) - m;
        let g = gate(dy(at), d * scale + wb.y, at);
        sum_g += fold(g);
        sum_gx += fold(g * d);
    }
    scratch[(1u + wg.y) * CHANNELS + channel] = vec4<f32>(sum_g, sum_gx * invstd, m, invstd);
}
