// Weights in the order in which the subgroup kernels load them.
//
//   forward  packed[block][in][tap][c] = w[block*C + c][in][tap]
//   data     packed[block][in][tap][c] = w[in][block*C + c][TAPS-1-tap]     (transposed and flipped)
//
// with zeros where block*C + c passes the last channel. `IN` and `OUT` are the channels the kernel
// that follows reads and writes. Groups: blocks lie within one, `in` counts within it.
// Mapping: an invocation writes one vec4 of c. Grid: invocations in one line folded into x and y.
// Bindings: 0 weights, 1 packed.

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;

fn element(out: u32, in: u32, tap: u32) -> f32 {
    if out >= OUT { return 0.0; }
    if FLIP { return weight[(in * OUT + out) * TAPS + TAPS - 1u - tap]; }
    return weight[(out * IN + in) * TAPS + tap];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * grid.x) * 64u + lane;
    if i >= arrayLength(&packed) { return; }
    let c = i % (C / 4u) * 4u;
    let tap = i / (C / 4u) % TAPS;
    let in = i / (C / 4u * TAPS) % IN;
    let out = i / (C / 4u * TAPS * IN) * C + c;
    packed[i] = vec4<f32>(element(out, in, tap), element(out + 1u, in, tap),
                          element(out + 2u, in, tap), element(out + 3u, in, tap));
}
