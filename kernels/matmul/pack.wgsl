// Rearranges A (OPERAND = 0) or B (1) for subgroup.wgsl: per tile of 32 rows (columns) and four steps
// of k, the 4 x 4 blocks of the 8 lanes, column r of all lanes together; zero beyond K.
//
// Mapping: a thread per 4 x 4 block. Grid: linear, 64 blocks a workgroup.
// Bindings: 0 a, 1 b (the other operand is not read), 2 packed. Constants: blocks.wgsl, OPERAND,
// TILES (along the operand's rows or columns), STEPS (groups of four k).
#include "blocks"

@group(0) @binding(2) var<storage, read_write> packed: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    let at = index / 8u * 32u + index % 8u;
    if (at >= arrayLength(&packed)) {
        return;
    }
    let lane = index % 8u;
    let k = index / 8u % STEPS * 4u;
    let tile = index / (8u * STEPS) % TILES * 32u;
    let matrix = index / (8u * STEPS * TILES);
    var block: mat4x4<f32>;
    if (OPERAND == 0u) {
        block = block_a(matrix, tile + lane * select(1u, 4u, TRANSPOSE_A), 8u, k);
    } else {
        block = block_b(matrix, tile + lane * 4u, k);
    }
    packed[at] = block[0];
    packed[at + 8u] = block[1];
    packed[at + 16u] = block[2];
    packed[at + 24u] = block[3];
}
