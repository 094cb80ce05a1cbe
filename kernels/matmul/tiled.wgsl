// C[batch, m, n] = A B (+ bias): 64 x 64 tiles staged through workgroup memory 16 steps of k at a time,
// each thread holding 8 x 8 of C in registers. For discrete and integrated GPUs.
//
// Mapping: 64 threads; thread (x, y) has columns 4 x .. 4 x + 3 and 32 + 4 x .. of the tile, rows alike
// with y, so that neighbours read neighbouring vec4s. The next stage is loaded into registers while
// this one is multiplied. Grid: linear, one workgroup a tile. Bindings: 0 a, 1 b, 2 bias, 3 c.
#include "blocks"
#include "output"

const STAGE: u32 = 16u;

// [k][row / 4] and [k][column / 4]: 4 KiB each.
var<workgroup> tile_a: array<array<vec4<f32>, 16>, STAGE>;
var<workgroup> tile_b: array<array<vec4<f32>, 16>, STAGE>;

fn store_block(matrix: u32, row: u32, column: u32, block: mat4x4<f32>) {
    let offset = bias_at(column);
    store_row(matrix, row, column, block[0] + offset);
    store_row(matrix, row + 1u, column, block[1] + offset);
    store_row(matrix, row + 2u, column, block[2] + offset);
    store_row(matrix, row + 3u, column, block[3] + offset);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = tile_of(wg, groups);
    let row = tile.x * 64u;
    let column = tile.y * 64u;
    let x = thread % 8u;
    let y = thread / 8u;

    // Loads: a thread has one 4 x 4 block of each operand a stage. Where K is contiguous neighbours
    // take neighbouring k, else neighbouring rows or columns.
    let a_k = select(thread % 4u, thread / 16u, TRANSPOSE_A) * 4u;
    let a_row = select(thread / 4u, thread % 16u, TRANSPOSE_A);
    let b_k = select(thread / 16u, thread % 4u, TRANSPOSE_B) * 4u;
    let b_column = select(thread % 16u, thread / 4u, TRANSPOSE_B);

    var c00: mat4x4<f32>;
    var c01: mat4x4<f32>;
    var c10: mat4x4<f32>;
    var c11: mat4x4<f32>;
    // Round i loads stage i and multiplies stage i - 1, so there is one round more than stages.
    for (var k = 0u; k < K + STAGE; k += STAGE) {
        let next_a = transpose(load_block_a(tile.z, row + a_row * 4u, k + a_k));
        let next_b = load_block_b(tile.z, column + b_column * 4u, k + b_k);
        if (k > 0u) {
            for (var j = 0u; j < STAGE; j++) {
                let a0 = tile_a[j][y];
                let a1 = tile_a[j][y + 8u];
                let b0 = tile_b[j][x];
                let b1 = tile_b[j][x + 8u];
                c00 += outer(b0, a0);
                c01 += outer(b1, a0);
                c10 += outer(b0, a1);
                c11 += outer(b1, a1);
            }
        }
        workgroupBarrier();
        tile_a[a_k][a_row] = next_a[0];
        tile_a[a_k + 1u][a_row] = next_a[1];
        tile_a[a_k + 2u][a_row] = next_a[2];
        tile_a[a_k + 3u][a_row] = next_a[3];
        tile_b[b_k][b_column] = next_b[0];
        tile_b[b_k + 1u][b_column] = next_b[1];
        tile_b[b_k + 2u][b_column] = next_b[2];
        tile_b[b_k + 3u][b_column] = next_b[3];
        workgroupBarrier();
    }

    if (tile.z < BATCH) {
        // One call for the four blocks: FXC would take four times as long over four.
        for (var i = 0u; i < 4u; i++) {
            var block = c00;
            if (i == 1u) {
                block = c01;
            } else if (i == 2u) {
                block = c10;
            } else if (i == 3u) {
                block = c11;
            }
            let low = row + y * 4u + i / 2u * 32u;
            store_block(tile.z, low, column + x * 4u + i % 2u * 32u, block);
        }
    }
}

// Column r: row r of a block of C.
fn outer(b: vec4<f32>, a: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(b * a.x, b * a.y, b * a.z, b * a.w);
}

// A stage may end beyond K: zero there.
fn load_block_a(matrix: u32, row: u32, k: u32) -> mat4x4<f32> {
    if (k < K) {
        return block_a(matrix, row, 1u, k);
    }
    return mat4x4<f32>();
}

fn load_block_b(matrix: u32, column: u32, k: u32) -> mat4x4<f32> {
    if (k < K) {
        return block_b(matrix, column, k);
    }
    return mat4x4<f32>();
}
