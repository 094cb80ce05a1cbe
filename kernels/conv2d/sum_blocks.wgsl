// The end of backward-weights in rows: the shares are added up, in their order, and put in place:
//
//   dw[co][ci][tap] = sum over z of partial[z][co / C][ci][co % C][tap]
//
// Mapping: an invocation computes one element. Grid: invocations in one line folded into x and y.
// Bindings: 0 the parts, one after another; 1 dw. Their number follows from the lengths.

#input partial 0 f32 2
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    const PART = (CO + C - 1u) / C * CI * C * TAPS;
    let i = (wg.x + wg.y * grid.x) * 64u + lane;
    if i >= arrayLength(&result) { return; }
    let tap = i % TAPS;
    let ci = i / TAPS % CI;
    let co = i / (TAPS * CI);
    var sum = 0.0;
    for (var at = ((co / C * CI + ci) * C + co % C) * TAPS + tap; at < partial_length(); at += PART) {
        sum += partial(at);
    }
    result[i] = sum;
}
