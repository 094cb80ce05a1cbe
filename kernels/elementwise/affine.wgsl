// y = x MUL + ADD for each element.
//
// Mapping: a thread takes PACKS packs (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 x, 1 y.
#include "pack"
#include "chunk"

#input x 0 Pack
@group(0) @binding(1) var<storage, read_write> y: array<Pack>;

fn element(x: f32, unused1: f32, unused2: f32) -> f32 {
    return x * MUL + ADD;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = first_pack(wg, groups, thread);
    for (var i = 0u; i < PACKS; i++) {
        let at = first + i * RUN;
        if (at < arrayLength(&y)) {
            let v = x(at);
            y[at] = map(v, v, v);
        }
    }
}
