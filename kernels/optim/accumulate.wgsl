// total += weight part, from zero at a step's first batch: the gradients of a step, or its loss, from those
// of its batches, each of which counts with its share of the step's samples.
//
// A workgroup takes a run. Grid: any number of workgroups.
// Bindings: 0 total, 1 part, 2 the step's uniform.
#include "step.wgsl"
#include "pack"

@group(0) @binding(0) var<storage, read_write> total: array<Pack>;
@group(0) @binding(1) var<storage, read> part: array<Pack>;
@group(0) @binding(2) var<uniform> step: Step;

@compute @workgroup_size(WORKGROUP)
fn accumulate(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let packs = WORDS / WIDTH;
    let run = (packs + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * run, packs);
    for (var i = wg.x * run + lid; i < end; i += WORKGROUP) {
        // A choice, not a factor: what an earlier step left may not be finite.
        let before = select(total[i], Pack(0.0), step.batch == 0u);
        total[i] = before + step.weight * part[i];
    }
}
