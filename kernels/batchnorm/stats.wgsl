// Batch statistics, first level: mean and sum of squared deviations of a part of a channel.
//
//   each invocation, over its own elements:  s = sum(x - k), q = sum((x - k)^2), mean = k + s/m,
//   M2 = q - s^2/m, with k an element a third into the run (the first is often a padded corner)
//   then the invocations' (mean, M2, m) are merged (Chan). Means are kept relative to the channel's
//   first element (the pivot), so a mean 1000 times the deviation costs no digits.
//
// planes: workgroup (channel, chunk), a run of the channel's packs each (plane.wgsl).
//         grid (CHANNELS, chunks)
// columns: for H*W = 1, x = [N, CHANNELS]: one invocation per channel and chunk of rows.
//         grid (CHANNELS / WORKGROUP, chunks)
// Bindings: 0 x, 1 scratch: [CHANNELS] coefficients, then [chunks, CHANNELS] partials
//           (mean - pivot, M2, count, pivot).
#include "pack"
#include "reduce.wgsl"
#include "plane"

#input x 0 Pack 2
@group(0) @binding(1) var<storage, read_write> scratch: array<vec4<f32>>;

// ANCHOR: planes
@compute @workgroup_size(WORKGROUP)
fn planes(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let channel = wg.x;
    let run = run_of(x_length() / CHANNELS, wg.y, groups.y);
    let pivot = fold(x(channel * PLANE)) / f32(WIDTH);

    let mine = run.first + lid;
    let inside = mine + (run.end - run.first) / 3u;
    let shift = x(element(channel, min(inside, run.end - 1u)));
    var s = splat(0.0);
    var q = splat(0.0);
    var m = 0.0;
    for (var i = mine; i < run.end; i += WORKGROUP) {
        let d = x(element(channel, i)) - shift;
        s += d;
        q += d * d;
        m += 1.0;
    }
    let means = (shift - pivot) + s / max(m, 1.0);
    let mean = fold(means) / f32(WIDTH);
    let apart = means - mean;
    let m2 = fold(max(q - s * s / max(m, 1.0), splat(0.0))) + m * fold(apart * apart);

    let all = workgroup_moments(Moments(mean, m2, m * f32(WIDTH)), lid);
    if lid == 0u {
        scratch[(1u + wg.y) * CHANNELS + channel] = vec4<f32>(all.mean, all.m2, all.count, pivot);
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
    let pivot = fold(x(channel));
    let shift = fold(x(min(run.first, run.end - 1u) * CHANNELS + channel));
    var s = 0.0;
    var q = 0.0;
    for (var i = run.first; i < run.end; i++) {
        let d = fold(x(i * CHANNELS + channel)) - shift;
        s += d;
        q += d * d;
    }
    let m = f32(run.end - run.first);
    let mean = (shift - pivot) + s / max(m, 1.0);
    let m2 = max(q - s * s / max(m, 1.0), 0.0);
    scratch[(1u + wg.y) * CHANNELS + channel] = vec4<f32>(mean, m2, m, pivot);
}
