// W_j *= min(1, LIMIT / |W_j|) for each row j: the projection onto |W_j| <= LIMIT after a step (weight
// balancing); nothing is written when flag[0] != 0.
//
// Workgroup: one row. Grid: rows, folded into x and y. Bindings: 0 weight [ROWS, COLS], 1 flag [4].
// Constants: ROWS, COLS, LIMIT, WORKGROUP.
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read_write> weight: array<f32>;
@group(0) @binding(1) var<storage, read> flag: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn max_norm(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = wg.x + wg.y * groups.x;
    var square = 0.0;
    if row < ROWS {
        for (var i = lid; i < COLS; i += WORKGROUP) {
            let w = weight[row * COLS + i];
            square += w * w;
        }
    }
    let norm = sqrt(workgroup_sum(vec4<f32>(square, 0.0, 0.0, 0.0), lid).x);
    if row >= ROWS || norm <= LIMIT || flag[0] != 0u {
        return;
    }
    for (var i = lid; i < COLS; i += WORKGROUP) {
        weight[row * COLS + i] *= LIMIT / norm;
    }
}
