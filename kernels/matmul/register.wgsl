// C[batch, m, n] = A B (+ bias): each thread computes 8 x 8 of C in registers from vec4 loads, without
// workgroup memory. For devices without it in hardware, and no subgroups of 8.
//
// Mapping: a workgroup of 8 x 8 threads has a 64 x 64 tile. Grid: linear, one workgroup a tile.
// Bindings: 0 a, 1 b, 2 bias, 3 c.
#include "blocks"
#include "output"

fn store_block(matrix: u32, row: u32, column: u32, block: mat4x4<f32>) {
    let offset = bias_at(column);
    store_row(matrix, row, column, block[0] + offset);
    store_row(matrix, row + 1u, column, block[1] + offset);
    store_row(matrix, row + 2u, column, block[2] + offset);
    store_row(matrix, row + 3u, column, block[3] + offset);
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
) {
    let tile = tile_of(wg, groups);
    if (tile.z >= BATCH) {
        return;
    }
    let row = tile.x * 64u + thread.y * 8u;
    let column = tile.y * 64u + thread.x * 8u;

    var c00: mat4x4<f32>;
    var c01: mat4x4<f32>;
    var c10: mat4x4<f32>;
    var c11: mat4x4<f32>;
    for (var k = 0u; k < K; k += 4u) {
        let b0 = block_b(tile.z, column, k);
        let b1 = block_b(tile.z, column + 4u, k);
        let a0 = block_a(tile.z, row, 1u, k);
        c00 += b0 * a0;
        c01 += b1 * a0;
        let a1 = block_a(tile.z, row + 4u, 1u, k);
        c10 += b0 * a1;
        c11 += b1 * a1;
    }

    store_block(tile.z, row, column, c00);
    store_block(tile.z, row, column + 4u, c01);
    store_block(tile.z, row + 4u, column, c10);
    store_block(tile.z, row + 4u, column + 4u, c11);
}
