// y = f(a, b) for each element, a and b broadcast to y's shape; f is `forward` of
// kernels/elementwise/binary/<op>.wgsl.
//
// Mapping: a thread takes PACKS packs of y (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 a, 1 b, 2 y.
#include "pack"
#include "chunk"
#include "numeric"
#include "operands"
#include "op"

@group(0) @binding(0) var<storage, read> a: array<PackA>;
@group(0) @binding(1) var<storage, read> b: array<PackB>;
@group(0) @binding(2) var<storage, read_write> y: array<Pack>;

fn element(a: f32, b: f32, unused: f32) -> f32 {
    return forward(a, b);
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
        if (index < arrayLength(&y)) {
            let at = coordinates(index);
            let va = Pack(a[offset_a(index, at)]);
            let vb = Pack(b[offset_b(index, at)]);
            y[index] = map(va, vb, vb);
        }
    }
}
