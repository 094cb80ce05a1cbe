// x = the floats of halves h, two a word.
//
// Mapping: a thread takes PACKS packs of eight elements (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 h [4 n], 1 x [8 n].
#include "chunk"
#include "half.wgsl"

#input h 0 vec4<u32>
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;

fn floats(pack: vec2<u32>) -> vec4<f32> {
    return vec4(
        half_value(pack.x),
        half_value(pack.x >> 16u),
        half_value(pack.y),
        half_value(pack.y >> 16u),
    );
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
        if (2u * at < arrayLength(&x)) {
            let pack = h(at);
            x[2u * at] = floats(pack.xy);
            x[2u * at + 1u] = floats(pack.zw);
        }
    }
}
