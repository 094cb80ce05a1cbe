// Backward, first pass: the two sums over a channel that every gradient needs.
//
//   g = dy where y > 0 (with RELU), else dy
//   sums: sum g, sum g xhat with xhat = (x - mean) invstd
// With STORE (relu and residual) g itself is the residual's gradient: it is written here, and the
// second pass reads it instead of dy and y.
//
// planes / columns and their grids: as in stats.wgsl.
// Bindings: 0 dy, 1 x, 2 mean (entry c), 3 spread (entry SPREAD_AT + c: invstd, or a variance with
//           EVAL), 4 y (not read without RELU), 5 g, 6 scratch: [CHANNELS] coefficients, then
//           [chunks, CHANNELS] partials (sum g, sum g xhat, mean, invstd).
#include "pack"
#include "reduce.wgsl"
#include "plane"

@group(0) @binding(0) var<storage, read> dy: array<Pack>;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> spread: array<f32>;
@group(0) @binding(4) var<storage, read> y: array<Pack>;
@group(0) @binding(5) var<storage, read_write> masked: array<Pack>;
@group(0) @binding(6) var<storage, read_write> scratch: array<vec4<f32>>;

fn gradient(at: u32) -> Pack {
    var g = dy[at];
    if RELU {
        g = select(splat(0.0), g, y[at] > splat(0.0));
    }
    if STORE {
        masked[at] = g;
    }
    return g;
}

fn inverse_deviation(channel: u32) -> f32 {
    let v = spread[SPREAD_AT + channel];
    if EVAL {
        return 1.0 / sqrt(v + EPS);
    }
    return v;
}

@compute @workgroup_size(WORKGROUP)
fn planes(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let channel = wg.x;
    let run = run_of(arrayLength(&x) / CHANNELS, wg.y, groups.y);
    let m = mean[channel];
    var sum_g = splat(0.0);
    var sum_gx = splat(0.0);
    for (var i = run.first + lid; i < run.end; i += WORKGROUP) {
        let at = element(channel, i);
        let g = gradient(at);
        sum_g += g;
        sum_gx += g * (x[at] - m);
    }
    let total = workgroup_sum(vec4<f32>(fold(sum_g), fold(sum_gx), 0.0, 0.0), lid);
    if lid == 0u {
        let invstd = inverse_deviation(channel);
        scratch[(1u + wg.y) * CHANNELS + channel] = vec4<f32>(total.x, total.y * invstd, m, invstd);
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
    let run = run_of(arrayLength(&x) / CHANNELS, wg.y, groups.y);
    let m = mean[channel];
    var sum_g = 0.0;
    var sum_gx = 0.0;
    for (var i = run.first; i < run.end; i++) {
        let at = i * CHANNELS + channel;
        let g = fold(gradient(at));
        sum_g += g;
        sum_gx += g * (fold(x[at]) - m);
    }
    let invstd = inverse_deviation(channel);
    scratch[(1u + wg.y) * CHANNELS + channel] = vec4<f32>(sum_g, sum_gx * invstd, m, invstd);
}
