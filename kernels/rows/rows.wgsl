// y[i] = x[i + FROM] where that lies within x, else 0, bit for bit: some rows of x, or with FROM below 0 the
// rows of x among zeros, which is the transpose.
//
// Mapping: a thread per element. Grid: linear, 64 threads a workgroup.
// Bindings: 0 x, 1 y. Constants: FROM, in elements.
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.x + wg.y * groups.x) * 64u + thread;
    if (index < arrayLength(&y)) {
        let at = i32(index) + FROM;
        y[index] = select(0u, x[max(at, 0)], at >= 0 && at < i32(arrayLength(&x)));
    }
}
