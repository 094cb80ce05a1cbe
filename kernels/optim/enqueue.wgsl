// ring[(step WORDS + i) % length of ring] = rows[i]: a batch's rows take the place of the oldest, where batches are
// all of one size and the ring holds a whole number of them.
//
// A word an invocation. Grid: WORDS / WORKGROUP workgroups, folded into x and y.
// Bindings: 0 rows [WORDS], 1 ring, 2 the step's uniform.
#include "step.wgsl"

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read_write> ring: array<u32>;
@group(0) @binding(2) var<uniform> step: Step;

@compute @workgroup_size(WORKGROUP)
fn enqueue(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = (wg.x + wg.y * groups.x) * WORKGROUP + lid;
    if i >= WORDS {
        return;
    }
    // The step's place among the batches first: the product of step and WORDS would pass 32 bits.
    let place = step.step % (arrayLength(&ring) / WORDS);
    ring[place * WORDS + i] = rows[i];
}
