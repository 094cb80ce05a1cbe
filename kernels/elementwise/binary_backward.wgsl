// da or db at y's shape, before the sum over broadcast axes: `backward_a(a, b, dy)` (WHICH = 0) or
// `backward_b(a, b, dy)` (WHICH = 1) of kernels/elementwise/binary/<op>.wgsl.
//
// Mapping: a thread takes PACKS packs of dy (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 a, 1 b, 2 dy, 3 the gradient.
#include "pack"
#include "chunk"
#include "numeric"
#include "operands"
#include "op"

@group(0) @binding(0) var<storage, read> a: array<PackA>;
@group(0) @binding(1) var<storage, read> b: array<PackB>;
@group(0) @binding(2) var<storage, read> dy: array<Pack>;
@group(0) @binding(3) var<storage, read_write> gradient: array<Pack>;

fn element(a: f32, b: f32, dy: f32) -> f32 {
    if (WHICH == 0u) {
        return backward_a(a, b, dy);
    }
    return backward_b(a, b, dy);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = first_pack(wg, groups, thread);
    for (var i = 0u; i < PACKS; i++) {
        let index = first + i * RUN;
        if (index < arrayLength(&gradient)) {
            let at = coordinates(index);
            let va = Pack(a[offset_a(index, at)]);
            let vb = Pack(b[offset_b(index, at)]);
            gradient[index] = map(va, vb, dy[index]);
        }
    }
}
