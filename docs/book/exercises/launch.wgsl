// c = a b.
//
// Constants: M, N, K. Grid: at least N invocations along x and M along y.
// Bindings: 0 a [M, K], 1 b [K, N], 2 c [M, N].

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let column = id.x;
    let row = id.y;
    // Does this invocation have an element of c? What is it?
}
