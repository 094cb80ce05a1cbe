// y[n, LO + c, oy, ox] = x[n, c, S oy, S ox] for c < CI, 0 in the other channels (option A of the CIFAR
// ResNets: subsample, zero-pad the channels evenly).
//
// Mapping: a thread per four outputs of a row (quad_vec4.wgsl) or one. Grid: linear, 64 threads a workgroup.
// Bindings: 0 x, 1 y. Constants: CI, H, W, CO, OH, OW, LO, S.
#include "quad"

#input x 0 f32
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;

// Column ox of y, whose row of x begins at `row`.
fn element(row: u32, ox: u32) -> f32 {
    return x(row + ox * S);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    if (index < arrayLength(&y)) {
        // Remainders by subtraction: FXC takes (4 k + 3) % 8 for 3.
        let row = index * WIDTH / OW;
        let ox = index * WIDTH - row * OW;
        let plane = row / OH;
        let oy = row - plane * OH;
        let image = plane / CO;
        let c = plane - image * CO - LO; // wraps below LO
        let start = select(0u, ((image * CI + c) * H + oy * S) * W, c < CI);
        y[index] = select(Quad(), quad(start, ox), c < CI);
    }
}
