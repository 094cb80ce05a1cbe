// x = the floats of halves h, two a word.
//
// Mapping: a thread takes PACKS packs of eight elements (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 h [4 n], 1 x [8 n].
#include "chunk"

#input h 0 vec4<u32>
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = first_pack(wg, groups, thread);
    for (var i = 0u; i < PACKS; i++) {
        let at = first + i * RUN;
        if (2u * at < arrayLength(&x)) {
            let pack = h(at);
            x[2u * at] = vec4(unpack2x16float(pack.x), unpack2x16float(pack.y));
            x[2u * at + 1u] = vec4(unpack2x16float(pack.z), unpack2x16float(pack.w));
        }
    }
}
