// dx[n, c, iy, ix] = dy[n, LO + c, iy / S, ix / S] where S divides both, else 0: the adjoint of
// forward.wgsl.
//
// Mapping: a thread per four inputs of a row (quad_vec4.wgsl) or one. Grid: linear, 64 threads a workgroup.
// Bindings: 0 dy, 1 dx. Constants: CI, H, W, CO, OH, OW, LO, S.
#include "quad"

#input dy 0 f32
@group(0) @binding(1) var<storage, read_write> dx: array<Quad>;

// Column ix of dx, whose row of dy begins at `row`.
fn element(row: u32, ix: u32) -> f32 {
    let ox = ix / S;
    return select(0.0, dy(row + ox), ox * S == ix);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    if (index < arrayLength(&dx)) {
        // As in forward.wgsl.
        let row = index * WIDTH / W;
        let ix = index * WIDTH - row * W;
        let plane = row / H;
        let iy = row - plane * H;
        let image = plane / CI;
        let c = plane - image * CI + LO;
        let oy = iy / S;
        let start = ((image * CO + c) * OH + oy) * OW;
        dx[index] = select(Quad(), quad(start, ix), oy * S == iy);
    }
}
