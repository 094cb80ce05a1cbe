// word[4 i .. 4 i + 3] = philox(counter[i], key[i]): the generator by itself, to check it against
// Random123's known answers on a device.
//
// Mapping: a thread per counter. Grid: linear, 64 counters a workgroup.
// Bindings: 0 counter, 1 key, 2 word.
#include "philox.wgsl"

@group(0) @binding(0) var<storage, read> counter: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> key: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> word: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + thread;
    if (i < arrayLength(&word)) {
        word[i] = philox(counter[i], key[i]);
    }
}
