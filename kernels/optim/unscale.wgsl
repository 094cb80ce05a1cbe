// g /= scale: the gradients of the loss from those of the scaled loss. The scale is a power of two, so bits change
// only where a gradient is too small for a float.
//
// A workgroup takes a run of the gradients. Grid: any number of workgroups.
// Bindings: 0 grads, 1 scale [1].

@group(0) @binding(0) var<storage, read_write> grads: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn unscale(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let packs = arrayLength(&grads);
    let run = (packs + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * run, packs);
    let factor = 1.0 / scale[0];
    for (var i = wg.x * run + lid; i < end; i += WORKGROUP) {
        grads[i] *= factor;
    }
}
