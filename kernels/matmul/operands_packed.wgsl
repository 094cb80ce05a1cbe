// Operands that pack.wgsl has rearranged in the order in which the subgroups load them, so that memory
// is read from end to end whatever the shapes. Constants: STEPS (groups of four k), TILES_M, TILES_N.
#input a 0 vec4<f32>
#input b 1 vec4<f32>

fn block_a(matrix: u32, row: u32, spread: u32, k: u32) -> mat4x4<f32> {
    let lane = row % 32u / select(1u, 4u, TRANSPOSE_A);
    let at = ((matrix * TILES_M + row / 32u) * STEPS + k / 4u) * 32u + lane;
    return mat4x4<f32>(a(at), a(at + 8u), a(at + 16u), a(at + 24u));
}

fn block_b(matrix: u32, column: u32, k: u32) -> mat4x4<f32> {
    let at = ((matrix * TILES_N + column / 32u) * STEPS + k / 4u) * 32u + column % 32u / 4u;
    return mat4x4<f32>(b(at), b(at + 8u), b(at + 16u), b(at + 24u));
}
