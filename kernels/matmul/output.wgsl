// Where a workgroup's part of C lies and how it is stored. Constants: M, N, BIAS, TILES_M, TILES_N.
#include "result"

// The range of k.
fn steps(matrix: u32, matrices: u32) -> vec2<u32> {
    return vec2<u32>(0u, K);
}

// bias[column .. column + 3], or zero.
fn bias_at(column: u32) -> vec4<f32> {
    if (BIAS) {
        return vec4<f32>(bias[column], bias[column + 1u], bias[column + 2u], bias[column + 3u]);
    }
    return vec4<f32>();
}

// Stores four columns of one row of C, as far as they are inside.
fn store_row(matrix: u32, row: u32, column: u32, v: vec4<f32>) {
    if (row < M && column < N) {
        store_c(matrix * (M * N) + row * N + column, column, v);
    }
}

// Which tile of C a workgroup has: x row tile, y column tile, z matrix of the batch. Neighbours share
// their rows of A.
fn tile_of(wg: vec3<u32>, groups: vec3<u32>) -> vec3<u32> {
    let tile = wg.x + wg.y * groups.x;
    let rest = tile / TILES_N;
    return vec3<u32>(rest % TILES_M, tile % TILES_N, rest / TILES_M);
}
