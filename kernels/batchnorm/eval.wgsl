// Coefficients from running statistics: (mean, w invstd, b, 0), invstd = 1/sqrt(var + EPS).
//
// One invocation per channel, grid (CHANNELS / WORKGROUP), or one workgroup for all.
// Bindings: 0 running mean, 1 running variance, 2 gamma, 3 beta, 4 alpha, 5 scratch [CHANNELS].
#include "reduce.wgsl"
#include "affine"

@group(0) @binding(0) var<storage, read> running_mean: array<f32>;
@group(0) @binding(1) var<storage, read> running_var: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read> alpha: array<f32>;
@group(0) @binding(5) var<storage, read_write> scratch: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn eval(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let factors = affine_factors(lid);
    for (var c = wg.x * WORKGROUP + lid; c < CHANNELS; c += grid.x * WORKGROUP) {
        let wb = affine_of(c, factors);
        let invstd = 1.0 / sqrt(running_var[c] + EPS);
        scratch[c] = vec4<f32>(running_mean[c], wb.x * invstd, wb.y, 0.0);
    }
}
