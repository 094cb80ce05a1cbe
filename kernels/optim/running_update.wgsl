// running = (1 - MOMENTUM) running + MOMENTUM batch, for the running statistics of every batch norm
// in one launch; nothing is written when flag[0] != 0.
//
// A workgroup takes a run. Grid: any number of workgroups.
// Bindings: 0 running, 1 batch, 2 flag [4].
#include "pack"

@group(0) @binding(0) var<storage, read_write> running: array<Pack>;
@group(0) @binding(1) var<storage, read> batch: array<Pack>;
@group(0) @binding(2) var<storage, read> flag: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn running_update(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    if flag[0] != 0u {
        return;
    }
    let packs = WORDS / WIDTH;
    let run = (packs + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * run, packs);
    for (var i = wg.x * run + lid; i < end; i += WORKGROUP) {
        running[i] = (1.0 - MOMENTUM) * running[i] + MOMENTUM * batch[i];
    }
}
