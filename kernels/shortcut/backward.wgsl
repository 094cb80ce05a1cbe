// dx[n, c, iy, ix] = dy[n, LO + c, iy / S, ix / S] where S divides both, else 0: the adjoint of
// forward.wgsl.
//
// Mapping: a thread per four inputs (quad_vec4.wgsl) or one. Grid: linear, 64 threads a workgroup.
// Bindings: 0 dy, 1 dx. Constants: CI, H, W, CO, OH, OW, LO, S.
#include "quad"

#input dy 0 f32
@group(0) @binding(1) var<storage, read_write> dx: array<Quad>;

fn element(index: u32) -> f32 {
    // As in forward.wgsl.
    let row = index / W;
    let ix = index - row * W;
    let plane = row / H;
    let iy = row - plane * H;
    let image = plane / CI;
    let c = plane - image * CI + LO;
    let ox = ix / S;
    let oy = iy / S;
    if (ox * S == ix && oy * S == iy) {
        return dy(((image * CO + c) * OH + oy) * OW + ox);
    }
    return 0.0;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    if (index < arrayLength(&dx)) {
        dx[index] = quad(index * WIDTH);
    }
}
