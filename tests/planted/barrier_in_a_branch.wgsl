// caught by: tint fxc
// A barrier that only some invocations of a workgroup reach: the branch is taken by what a buffer holds.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> tile: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
    tile[thread] = x[thread];
    if (x[thread] > 0.0) {
        workgroupBarrier();
    }
    y[thread] = tile[63u - thread];
}
