// c = a b, a [M, K], b [K, N]: each thread computes ROWS x 4 elements of c in registers, with b and c
// in vec4s. Grid: (N / 4 / 8, M / ROWS / 8). Bindings: 0 a, 1 b, 2 c. M, N, K multiples of 8 ROWS, 32, 1.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;

@compute @workgroup_size(8, 8)
fn rows(@builtin(global_invocation_id) id: vec3u) {
    var sums: array<vec4<f32>, ROWS>;
    for (var k = 0u; k < K; k++) {
        let row = b[k * (N / 4u) + id.x];
        for (var r = 0u; r < ROWS; r++) {
            sums[r] += a[(id.y * ROWS + r) * K + k] * row;
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        c[(id.y * ROWS + r) * (N / 4u) + id.x] = sums[r];
    }
}
