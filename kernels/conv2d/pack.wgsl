// Weights in the order in which the subgroup kernels load them: [group][block][in][tap][c], where c
// counts C output channels of a block, with zeros where a block passes its group's last channel.
//
//   forward  packed[g][block][in][tap][c] = w[g*OUT + block*C + c][in][tap]
//   data     packed[g][block][in][tap][c] = w[g*IN + in][block*C + c][tap]           (TRANSPOSE)
//
// and with FLIP the taps in reverse. IN and OUT are the channels of a group that the kernel which
// follows reads and writes.
// Mapping: straight (neither TRANSPOSE nor FLIP), where a row of w holds all [in][tap] of an output channel, an
// invocation turns 4 rows x 4 of these around; else it writes one vec4 of c.
// Grid: invocations in one line folded into x and y. Bindings: 0 weights, 1 packed.

#input weight 0 f32
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;

const QUADS: u32 = C / 4u;                          // vec4 of c
const BLOCKS: u32 = (OUT + C - 1u) / C;
const ROW: u32 = IN * TAPS;                         // of an output channel
const STRAIGHT: bool = !TRANSPOSE && !FLIP;

fn element(group: u32, out: u32, in: u32, tap: u32) -> f32 {
    if out >= OUT { return 0.0; }
    let row = select((group * OUT + out) * IN + in, (group * IN + in) * OUT + out, TRANSPOSE);
    return weight(row * TAPS + select(tap, TAPS - 1u - tap, FLIP));
}

// Four of c, which with TRANSPOSE and one tap are neighbours.
fn elements(group: u32, out: u32, in: u32, tap: u32) -> vec4<f32> {
    if TRANSPOSE && TAPS == 1u {
        let inside = out + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(OUT);
        return select(vec4<f32>(), weight_four((group * IN + in) * OUT + out), inside);
    }
    return vec4<f32>(element(group, out, in, tap), element(group, out + 1u, in, tap),
                     element(group, out + 2u, in, tap), element(group, out + 3u, in, tap));
}

// Four of a row, from j on.
fn of_row(group: u32, out: u32, j: u32) -> vec4<f32> {
    return select(vec4<f32>(), weight_four((group * OUT + min(out, OUT - 1u)) * ROW + j), out < OUT);
}

fn turn(i: u32) {
    let quad = i % QUADS;
    let j = i / QUADS % ((ROW + 3u) / 4u) * 4u;
    let block = i / QUADS / ((ROW + 3u) / 4u);      // of all groups
    let group = block / BLOCKS;
    let out = block % BLOCKS * C + quad * 4u;
    let v = transpose(mat4x4<f32>(of_row(group, out, j), of_row(group, out + 1u, j),
                                  of_row(group, out + 2u, j), of_row(group, out + 3u, j)));
    let to = (block * ROW + j) * QUADS + quad;
    if to >= arrayLength(&packed) { return; }
    packed[to] = v[0];
    if j + 1u < ROW { packed[to + QUADS] = v[1]; }
    if j + 2u < ROW { packed[to + 2u * QUADS] = v[2]; }
    if j + 3u < ROW { packed[to + 3u * QUADS] = v[3]; }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * grid.x) * 64u + lane;
    if STRAIGHT {
        turn(i);
        return;
    }
    if i >= arrayLength(&packed) { return; }
    let tap = i / QUADS % TAPS;
    let in = i / (QUADS * TAPS) % IN;
    let out = i / (QUADS * TAPS * IN) % BLOCKS * C + i % QUADS * 4u;
    let group = i / (QUADS * TAPS * IN * BLOCKS);
    packed[i] = elements(group, out, in, tap);
}
