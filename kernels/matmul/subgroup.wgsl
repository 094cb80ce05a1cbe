// C[batch, m, n] = A B (+ bias): 32 x 32 tiles, 8 lanes of one subgroup each, operands handed around by
// shuffles. For CPU devices, where a load costs as much as 60 multiply-adds and a shuffle as one.
//
// Mapping: lane l has columns 4 l .. 4 l + 3 of the tile and all of its 32 rows. In each four steps of k
// every lane loads 4 x 4 of B for its columns and 4 x 4 of A for rows of its own; accumulator i then
// gets the rows that lane i loaded: rows i, i + 8, i + 16, i + 24 of the tile, or 4 i .. 4 i + 3 where A
// is stored [k, m]. Going over i outside the four k keeps an accumulator in registers for 64
// multiply-adds. Larger tiles load less but overflow the instruction cache.
// Grid: linear, one workgroup (one subgroup) a tile. Bindings: 0 a, 1 b, 2 bias, 3 c.
// `blocks` is blocks.wgsl, or operands_packed.wgsl after pack.wgsl. Constants: theirs, output.wgsl, BATCH. A 1x1
// convolution is this with operands, result and bindings of its own (conv2d/pointwise.wgsl).
#include "blocks"
#include "output"

// Rows from one column of an accumulator to the next, and from one accumulator to the next.
const SPREAD: u32 = select(8u, 1u, TRANSPOSE_A);
const STEP: u32 = select(1u, 4u, TRANSPOSE_A);

// The block that lane i loaded, in every lane.
fn from_lane(block: mat4x4<f32>, i: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        subgroupShuffle(block[0], i),
        subgroupShuffle(block[1], i),
        subgroupShuffle(block[2], i),
        subgroupShuffle(block[3], i),
    );
}

fn store_block(matrix: u32, row: u32, column: u32, block: mat4x4<f32>, offset: vec4<f32>) {
    store_row(matrix, row, column, block[0] + offset);
    store_row(matrix, row + SPREAD, column, block[1] + offset);
    store_row(matrix, row + 2u * SPREAD, column, block[2] + offset);
    store_row(matrix, row + 3u * SPREAD, column, block[3] + offset);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_of(wg, groups);
    if (tile.z >= BATCH) {
        return;
    }
    let row = tile.x * 32u;
    let column = tile.y * 32u + lane * 4u;

    var c0: mat4x4<f32>;
    var c1: mat4x4<f32>;
    var c2: mat4x4<f32>;
    var c3: mat4x4<f32>;
    var c4: mat4x4<f32>;
    var c5: mat4x4<f32>;
    var c6: mat4x4<f32>;
    var c7: mat4x4<f32>;
    let range = steps(tile.z, groups.z);
    for (var k = range.x; k < range.y; k += 4u) {
        let va = block_a(tile.z, row + lane * STEP, SPREAD, k);
        let vb = block_b(tile.z, column, k);
        c0 += vb * from_lane(va, 0u);
        c1 += vb * from_lane(va, 1u);
        c2 += vb * from_lane(va, 2u);
        c3 += vb * from_lane(va, 3u);
        c4 += vb * from_lane(va, 4u);
        c5 += vb * from_lane(va, 5u);
        c6 += vb * from_lane(va, 6u);
        c7 += vb * from_lane(va, 7u);
    }

    let offset = bias_at(column);
    store_block(tile.z, row, column, c0, offset);
    store_block(tile.z, row + STEP, column, c1, offset);
    store_block(tile.z, row + 2u * STEP, column, c2, offset);
    store_block(tile.z, row + 3u * STEP, column, c3, offset);
    store_block(tile.z, row + 4u * STEP, column, c4, offset);
    store_block(tile.z, row + 5u * STEP, column, c5, offset);
    store_block(tile.z, row + 6u * STEP, column, c6, offset);
    store_block(tile.z, row + 7u * STEP, column, c7, offset);
}
