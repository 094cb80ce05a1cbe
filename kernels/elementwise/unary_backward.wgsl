// dx = f'(x) dy for each element; `backward(x, y, dy)` of kernels/elementwise/unary/<op>.wgsl.
//
// Mapping: a thread takes PACKS packs (chunk.wgsl). Grid: linear, 64 * PACKS packs a workgroup.
// Bindings: 0 x, 1 y, 2 dy, 3 dx.
#include "pack"
#include "chunk"
#include "numeric"
#include "op"

#input x 0 Pack
#input y 1 Pack
#input dy 2 Pack
@group(0) @binding(3) var<storage, read_write> dx: array<Pack>;

fn element(x: f32, y: f32, dy: f32) -> f32 {
    return backward(x, y, dy);
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
        if (at < arrayLength(&dx)) {
            dx[at] = map(x(at), y(at), dy(at));
        }
    }
}
