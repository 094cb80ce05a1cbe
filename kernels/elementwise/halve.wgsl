// h = x as halves, two a word, beyond their range (65504) the nearest they have; NaN may become any of them.
//
// Mapping: a thread takes PACKS packs of eight elements (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 x [8 n], 1 h [4 n].
#include "chunk"

const MOST: vec4<f32> = vec4(65504.0);

#input x 0 vec4<f32>
@group(0) @binding(1) var<storage, read_write> h: array<vec4<u32>>;

fn halves(v: vec4<f32>) -> vec2<u32> {
    let c = clamp(v, -MOST, MOST);
    return vec2(pack2x16float(c.xy), pack2x16float(c.zw));
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
