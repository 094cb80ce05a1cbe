// partial[FIRST + w] = sum of the squares of run w of the gradients; in the same order at every run.
//
// Workgroup w: run w. Grid: as many workgroups as partial sums. Bindings: 0 grads, 1 partial.
// Constants: FIRST, WORKGROUP.
#include "reduce.wgsl"

#input grads 0 vec4<f32>
@group(0) @binding(1) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn square_sum(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let packs = WORDS / 4u;
    let run = (packs + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * run, packs);
    var squares = vec4<f32>();
    for (var i = wg.x * run + lid; i < end; i += WORKGROUP) {
        let g = grads(i);
        squares += g * g;
    }
    let total = workgroup_sum(squares, lid);
    if lid == 0u {
        partial[FIRST + wg.x] = (total.x + total.y) + (total.z + total.w);
    }
}
