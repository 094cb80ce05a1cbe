// c = a b, four columns of a row an invocation: an element of a serves four multiply-adds.
//
// Constants: M, N, K. Grid: at least N / TILE_X invocations along x and M along y.
// Bindings: 0 a [M, K], 1 b [K, N], 2 c [M, N].

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

const TILE_X: u32 = 4u;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let first = id.x * TILE_X;
    if row >= M || first >= N {
        return;
    }
    // Columns beyond the last read it once more and are not stored.
    let column = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(N - 1u));
    var sum = vec4<f32>();
    for (var k = 0u; k < K; k++) {
        let at = k * N + column;
        sum += a[row * K + k] * vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
    }
    for (var i = 0u; i < min(TILE_X, N - first); i++) {
        c[row * N + first + i] = sum[i];
    }
}
