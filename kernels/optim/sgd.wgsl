// SGD with momentum and weight decay for all parameters in one launch, as torch.optim.SGD:
//
//   g = grad + decay p;   m = MOMENTUM m + g;   p -= lr (NESTEROV ? g + MOMENTUM m : m)
//
// Parameters, gradients and momentum are twins in one flat order. Each block of 64 words has a group
// (0..3) with its weight decay and a factor on the step's learning rate. Nothing is written when the
// guard has found a non-finite value (flag[0] != 0).
//
// A workgroup takes a run of blocks, LANES (a divisor of 16) invocations to a block.
// Grid: any number of workgroups.
// Bindings: 0 params, 1 grads, 2 momentum, 3 group [blocks], 4 flag [4], 5 the step's uniform; with
// texels 6 and 7 params and momentum again (state_texels.wgsl).
#include "step.wgsl"
#include "state"

@group(0) @binding(0) var<storage, read_write> params: array<vec4<f32>>;
#input grads 1 vec4<f32>
@group(0) @binding(2) var<storage, read_write> momentum: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> group: array<u32>;
@group(0) @binding(4) var<storage, read> flag: array<u32>;
@group(0) @binding(5) var<uniform> step: Step;

const PACKS: u32 = 16u; // vec4 of a block

fn pick(i: u32, a: f32, b: f32, c: f32, d: f32) -> f32 {
    return select(select(a, b, i == 1u), select(c, d, i == 3u), i >= 2u);
}

@compute @workgroup_size(WORKGROUP)
fn sgd(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    if flag[0] != 0u {
        return;
    }
    let blocks = arrayLength(&params) / PACKS;
    let run = (blocks + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * run, blocks);
    for (var block = wg.x * run + lid / LANES; block < end; block += WORKGROUP / LANES) {
        let own = group[block];
        let decay = pick(own, DECAY_0, DECAY_1, DECAY_2, DECAY_3);
        let rate = step.learning_rate * pick(own, SCALE_0, SCALE_1, SCALE_2, SCALE_3);
        for (var i = lid % LANES; i < PACKS; i += LANES) {
            let at = block * PACKS + i;
            let p = old_param(at);
            let g = grads(at) + decay * p;
            let m = MOMENTUM * old_momentum(at) + g;
            momentum[at] = m;
            if NESTEROV {
                params[at] = p - rate * (g + MOMENTUM * m);
            } else {
                params[at] = p - rate * m;
            }
        }
    }
}
