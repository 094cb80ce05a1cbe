// Finds non-finite gradients and losses, by bits: an exponent of all ones.
//
//   flag[0]  1 when something was found, else 0
//   flag[1]  ~block of the first 64-word block with a non-finite gradient, 0 when there is none; blocks are
//            counted over all parts, of which this launch's begins at FIRST
//   flag[2]  1 when the loss was non-finite
//   flag[3]  ~step at which something was first found, 0 when nothing was
// All by atomicMax, so the result does not depend on the order: the largest complement is the
// smallest block, or the earliest step. The flag stays until the host clears it.
//
// A workgroup takes a run of the gradients. Grid: any number of workgroups.
// Bindings: 0 grads, 1 loss [1], 2 flag [4], 3 the step's uniform.
#include "step.wgsl"

#input grads 0 vec4<f32> 4
@group(0) @binding(1) var<storage, read> loss: array<u32>;
@group(0) @binding(2) var<storage, read_write> flag: array<atomic<u32>, 4>;
@group(0) @binding(3) var<uniform> step: Step;

const EXPONENT: u32 = 0x7f800000u;
const PACKS: u32 = 16u; // vec4 of a block

@compute @workgroup_size(WORKGROUP)
fn guard(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let packs = grads_length();
    let run = (packs + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * run, packs);
    var first = 0xffffffffu;
    for (var i = wg.x * run + lid; i < end; i += WORKGROUP) {
        let bad = (bitcast<vec4<u32>>(grads(i)) & vec4<u32>(EXPONENT)) == vec4<u32>(EXPONENT);
        first = min(first, select(0xffffffffu, i, any(bad)));
    }
    let bad_loss = wg.x == 0u && lid == 0u && (loss[0] & EXPONENT) == EXPONENT;
    if first != 0xffffffffu {
        atomicMax(&flag[1], ~(FIRST + first / PACKS));
    }
    if bad_loss {
        atomicMax(&flag[2], 1u);
    }
    if bad_loss || first != 0xffffffffu {
        atomicMax(&flag[0], 1u);
        atomicMax(&flag[3], ~step.step);
    }
}
