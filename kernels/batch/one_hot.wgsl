// hot[i, c] = 1 where c is label[i], else 0.
//
// Mapping: a thread per element. Grid: linear, 64 elements a workgroup.
// Bindings: 0 label, 1 hot. Constants: CLASSES.

@group(0) @binding(0) var<storage, read> label: array<u32>;
@group(0) @binding(1) var<storage, read_write> hot: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let at = (wg.x + wg.y * groups.x) * 64u + thread;
    if (at < arrayLength(&hot)) {
        let row = at / CLASSES;
        hot[at] = select(0.0, 1.0, label[row] == at - row * CLASSES);
    }
}
