// g *= min(1, LIMIT / (|G| + 1e-6)), |G| = sqrt(sum of partial): torch.nn.utils.clip_grad_norm_ with the
// 2-norm of all gradients G, of which g are some or all. ring[step % length] = |G|, as it was.
//
// Every workgroup adds up all partial sums, in the same order, and takes a run of the gradients.
// Grid: any number of workgroups. Bindings: 0 grads, 1 partial, 2 ring, 3 the step's uniform.
// Constants: LIMIT, WORKGROUP.
#include "step.wgsl"
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read_write> grads: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> partial: array<f32>;
@group(0) @binding(2) var<storage, read_write> ring: array<f32>;
@group(0) @binding(3) var<uniform> step: Step;

@compute @workgroup_size(WORKGROUP)
fn clip_gradients(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    var own = 0.0;
    for (var i = lid; i < arrayLength(&partial); i += WORKGROUP) {
        own += partial[i];
    }
    let norm = sqrt(workgroup_sum(vec4<f32>(own, 0.0, 0.0, 0.0), lid).x);
    if wg.x == 0u && lid == 0u {
        ring[step.step % arrayLength(&ring)] = norm;
    }
    let scale = LIMIT / (norm + 1e-6);
    if scale >= 1.0 {
        return;
    }
    let packs = arrayLength(&grads);
    let run = (packs + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * run, packs);
    for (var i = wg.x * run + lid; i < end; i += WORKGROUP) {
        grads[i] *= scale;
    }
}
