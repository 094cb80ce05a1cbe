// y = s[0] x for each element.
//
// Mapping: a thread takes PACKS packs (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 x, 1 s (one element), 2 y.
#include "pack"
#include "chunk"

#input x 0 Pack
@group(0) @binding(1) var<storage, read> s: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Pack>;

fn element(x: f32, s: f32, unused: f32) -> f32 {
    return x * s;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = first_pack(wg, groups, thread);
    let scale = Pack(s[0]);
    for (var i = 0u; i < PACKS; i++) {
        let at = first + i * RUN;
        if (at < arrayLength(&y)) {
            y[at] = map(x(at), scale, scale);
        }
    }
}
