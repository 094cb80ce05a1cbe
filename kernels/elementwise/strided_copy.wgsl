// y[i] = SCALE * x[offset(i)]: a broadcast copy (the backward of a sum or mean) or a permutation of
// axes. Without SCALED the bits are copied as they are.
//
// Mapping: a thread takes PACKS packs of y (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 x, 1 y. Constants: EXTENT0..4 (strided.wgsl), X0..X5 strides of x, innermost first.
#include "pack"
#include "chunk"
#include "strided"
#include "splat"

@group(0) @binding(0) var<storage, read> x: array<PackA>;
@group(0) @binding(1) var<storage, read_write> y: array<Pack>;

fn element(x: f32, unused1: f32, unused2: f32) -> f32 {
    return x * SCALE;
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
            let from_x = at[0] * X0 + at[1] * X1 + at[2] * X2 + at[3] * X3 + at[4] * X4 + at[5] * X5;
            let v = Pack(x[from_x]);
            if (SCALED) {
                y[index] = map(v, v, v);
            } else {
                y[index] = v;
            }
        }
    }
}
