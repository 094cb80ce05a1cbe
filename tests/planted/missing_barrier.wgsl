// caught by: the reference
// y[i] should be x[63 - i]; the workgroup's tile is read before the others have written it.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> tile: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
    tile[thread] = x[thread];
    y[thread] = tile[63u - thread];
}
