// h = x as halves, two a word, beyond their range (65504) the nearest they have; NaN may become any of them.
//
// Mapping: a thread takes PACKS packs of eight elements (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 x [8 n], 1 h [4 n].
#include "chunk"
#include "half.wgsl"

#input x 0 vec4<f32>
@group(0) @binding(1) var<storage, read_write> h: array<vec4<u32>>;

fn halves(v: vec4<f32>) -> vec2<u32> {
    return vec2(half_bits(v.x) | (half_bits(v.y) << 16u), half_bits(v.z) | (half_bits(v.w) << 16u));
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
        if (at < arrayLength(&h)) {
            h[at] = vec4(halves(x(2u * at)), halves(x(2u * at + 1u)));
        }
    }
}
