// y[r] = sum over c of x[r, c], one workgroup a row.
//
// Thread t adds up the elements t, t + THREADS, ...; then a tree of log2(THREADS) steps adds the
// threads' sums. The barrier is between a step's writes and the next step's reads.
// Constants: ROWS, COLS. Grid: ROWS workgroups.
// Bindings: 0 x [ROWS, COLS], 1 y [ROWS].

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

const THREADS: u32 = 64u;

var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    var sum = 0.0;
    for (var c = thread; c < COLS; c += THREADS) {
        sum += x[wg.x * COLS + c];
    }
    partial[thread] = sum;
    for (var step = THREADS / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if thread < step {
            partial[thread] += partial[thread + step];
        }
    }
    if thread == 0u {
        y[wg.x] = partial[0];
    }
}
