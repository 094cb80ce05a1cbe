// The end of a split sum: result[i] = sum over s of partial[s][i], in the order of s.
//
// Mapping: an invocation adds up one element. Grid: invocations in one line folded into x and y.
// Bindings: 0 the parts, one after another; 1 the result. Their number follows from the lengths.

#input partial 0 f32 2
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * grid.x) * 64u + lane;
    let len = arrayLength(&result);
    if i >= len { return; }
    var sum = 0.0;
    for (var at = i; at < partial_length(); at += len) {
        sum += partial(at);
    }
    result[i] = sum;
}
