// Batch statistics, second level: merge a channel's partials and prepare the pass over x.
//
//   mean, var = M2/count (biased), invstd = 1/sqrt(var + EPS)
//   coefficient = (mean, w invstd, b, 0), so that y = (x - mean) * (w invstd) + b
//   batch_mean = mean, batch_var = M2/(count - 1), and 0 when count = 1 (M2 is 0 there)
// w and b: affine.wgsl (with the norms of gamma and beta over all channels when normalized).
//
// Workgroup: WORKGROUP / SPLIT channels at a time, SPLIT invocations each, which share the channel's
// partials. Grid (CHANNELS / (WORKGROUP / SPLIT)) or less: one workgroup computes the norms once.
// Bindings: 0 scratch (stats.wgsl), 1 gamma, 2 beta, 3 alpha, 4 saved [2, CHANNELS] = mean, invstd,
//           5 batch mean, 6 batch variance. Without affine 1..3 are not read.
#include "reduce.wgsl"
#include "affine"

@group(0) @binding(0) var<storage, read_write> scratch: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> alpha: array<f32>;
@group(0) @binding(4) var<storage, read_write> saved: array<f32>;
@group(0) @binding(5) var<storage, read_write> batch_mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> batch_var: array<f32>;

const OWNED: u32 = WORKGROUP / SPLIT; // channels of a workgroup

@compute @workgroup_size(WORKGROUP)
fn finalize(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let factors = affine_factors(lid);
    let chunks = arrayLength(&scratch) / CHANNELS - 1u;

    for (var first = wg.x * OWNED; first < CHANNELS; first += grid.x * OWNED) {
        let channel = first + lid % OWNED;
        var all = Moments(0.0, 0.0, 0.0);
        if channel < CHANNELS {
            for (var chunk = lid / OWNED; chunk < chunks; chunk += SPLIT) {
                let part = scratch[(1u + chunk) * CHANNELS + channel];
                all = merge_moments(all, Moments(part.x, part.y, part.z));
            }
        }
        if SPLIT > 1u {
            workgroupBarrier();
            reduction[lid] = vec4<f32>(all.mean, all.m2, all.count, 0.0);
            workgroupBarrier();
            all = stored_moments(lid % OWNED);
            for (var s = 1u; s < SPLIT; s++) {
                all = merge_moments(all, stored_moments(s * OWNED + lid % OWNED));
            }
        }
        if channel < CHANNELS && lid < OWNED {
            let mean = scratch[CHANNELS + channel].w + all.mean;
            let invstd = 1.0 / sqrt(all.m2 / all.count + EPS);
            let wb = affine_of(channel, factors);
            scratch[channel] = vec4<f32>(mean, wb.x * invstd, wb.y, 0.0);
            saved[channel] = mean;
            saved[CHANNELS + channel] = invstd;
            batch_mean[channel] = mean;
            batch_var[channel] = all.m2 / max(all.count - 1.0, 1.0);
        }
    }
}
