// 4 x 4 blocks of the operands as matrices in registers, whichever way they are stored, so that
//   block of C (column r = row r of C, four columns wide) += block_b * block_a.
// What lies beyond M or N is garbage that reaches only rows and columns of C that are not stored; what
// lies beyond K is zero. Constants: M, N, K, TRANSPOSE_A,
// TRANSPOSE_B.
#include "operands"

// Where in K four steps from k on still are.
fn inside(k: u32) -> vec4<bool> {
    return vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(K);
}

// Column r: A[row + r spread][k .. k + 3] (stored [k, m]: spread is 1).
fn block_a(matrix: u32, row: u32, spread: u32, k: u32) -> mat4x4<f32> {
    var block: mat4x4<f32>;
    if (TRANSPOSE_A) {
        let at = matrix * (M * K) + k * M + row;
        block = transpose(mat4x4<f32>(load_a(at), load_a(at + M), load_a(at + 2u * M), load_a(at + 3u * M)));
    } else {
        let at = matrix * (M * K) + row * K + k;
        let step = spread * K;
        block = mat4x4<f32>(load_a(at), load_a(at + step), load_a(at + 2u * step), load_a(at + 3u * step));
    }
    if (K % 4u != 0u) {
        let keep = inside(k);
        let zero = vec4<f32>();
        block = mat4x4<f32>(
            select(zero, block[0], keep),
            select(zero, block[1], keep),
            select(zero, block[2], keep),
            select(zero, block[3], keep),
        );
    }
    return block;
}

// Column j: B[k + j][column .. column + 3].
fn block_b(matrix: u32, column: u32, k: u32) -> mat4x4<f32> {
    var block: mat4x4<f32>;
    if (TRANSPOSE_B) {
        let at = matrix * (K * N) + column * K + k;
        block = transpose(mat4x4<f32>(load_b(at), load_b(at + K), load_b(at + 2u * K), load_b(at + 3u * K)));
    } else {
        let at = matrix * (K * N) + k * N + column;
        block = mat4x4<f32>(load_b(at), load_b(at + N), load_b(at + 2u * N), load_b(at + 3u * N));
    }
    if (K % 4u != 0u) {
        let keep = inside(k);
        let zero = vec4<f32>();
        block = mat4x4<f32>(
            select(zero, block[0], keep.x),
            select(zero, block[1], keep.y),
            select(zero, block[2], keep.z),
            select(zero, block[3], keep.w),
        );
    }
    return block;
}
