// Weights in the order in which the subgroup kernels load them: [group][block][in][tap][c], where c
// counts C output channels of a block, with zeros where a block passes its group's last channel.
//
//   forward  packed[g][block][in][tap][c] = w[g*OUT + block*C + c][in][tap]
//   data     packed[g][block][in][tap][c] = w[g*IN + in][block*C + c][tap]           (TRANSPOSE)
//
// and with FLIP the taps in reverse. IN and OUT are the channels of a group that the kernel which
// follows reads and writes.
// Mapping: an invocation writes one vec4 of c. Grid: invocations in one line folded into x and y.
// Bindings: 0 weights, 1 packed.

#input weight 0 f32
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;

const BLOCKS: u32 = (OUT + C - 1u) / C;

fn element(group: u32, out: u32, in: u32, tap: u32) -> f32 {
    if out >= OUT { return 0.0; }
    let row = select((group * OUT + out) * IN + in, (group * IN + in) * OUT + out, TRANSPOSE);
    return weight(row * TAPS + select(tap, TAPS - 1u - tap, FLIP));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * grid.x) * 64u + lane;
    if i >= arrayLength(&packed) { return; }
    let tap = i / (C / 4u) % TAPS;
    let in = i / (C / 4u * TAPS) % IN;
    let out = i / (C / 4u * TAPS * IN) % BLOCKS * C + i % (C / 4u) * 4u;
    let group = i / (C / 4u * TAPS * IN * BLOCKS);
    packed[i] = vec4<f32>(element(group, out, in, tap), element(group, out + 1u, in, tap),
                          element(group, out + 2u, in, tap), element(group, out + 3u, in, tap));
}
