// average += RATE (value - average): an exponential moving average of weights or statistics, RATE = 1 - decay
// (torch.lerp); nothing is written when flag[0] != 0. What does not change is its own average to the bit.
//
// A workgroup takes a run. Grid: any number of workgroups.
// Bindings: 0 average, 1 value, 2 flag [4].
#include "pack"

@group(0) @binding(0) var<storage, read_write> average: array<Pack>;
@group(0) @binding(1) var<storage, read> value: array<Pack>;
@group(0) @binding(2) var<storage, read> flag: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn ema(
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
        average[i] += RATE * (value[i] - average[i]);
    }
}
