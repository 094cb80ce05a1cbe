// y = x0 + x1 + ... for TERMS inputs (2 to 6), added in that order.
//
// Mapping: a thread takes PACKS packs (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0..5 the inputs (those past TERMS repeat the first and are not read), 6 y.
#include "pack"
#include "chunk"

#input x0 0 Pack
#input x1 1 Pack
#input x2 2 Pack
#input x3 3 Pack
#input x4 4 Pack
#input x5 5 Pack
@group(0) @binding(6) var<storage, read_write> y: array<Pack>;

fn element(a: f32, b: f32, unused: f32) -> f32 {
    return a + b;
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
            var sum = x0(at) + x1(at);
            if (TERMS > 2u) {
                sum += x2(at);
            }
            if (TERMS > 3u) {
                sum += x3(at);
            }
            if (TERMS > 4u) {
                sum += x4(at);
            }
            if (TERMS > 5u) {
                sum += x5(at);
            }
            y[at] = sum;
        }
    }
}
