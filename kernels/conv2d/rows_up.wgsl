// Backward-data of a 3x3 convolution with stride 2 and padding 1, straight from rows of NCHW: the four
// pixels (2i,2j), (2i,2j+1), (2i+1,2j), (2i+1,2j+1) of dx are reached by 1, 2, 2 and 4 of the taps:
//
//   dx[2i,  2j]   = sum over co of  w11*dy[i,j]
//   dx[2i,  2j+1] = sum over co of  w10*dy[i,j+1]   + w12*dy[i,j]
//   dx[2i+1,2j]   = sum over co of  w01*dy[i+1,j]   + w21*dy[i,j]
//   dx[2i+1,2j+1] = sum over co of  w00*dy[i+1,j+1] + w02*dy[i+1,j] + w20*dy[i,j+1] + w22*dy[i,j]
//
// Mapping: a workgroup is 8 lanes of one subgroup. A lane takes 4 neighbouring positions (i, j..j+3)
// of dy and computes 2 rows x 8 columns of dx for C = 8 or 16 channels: 4*C vec4 accumulators. For each
// channel of dy it loads two quads (the pixel to the right comes from the next lane); the weights
// are loaded once for the subgroup, different ones in each lane, and broadcast by shuffles.
// Grid: x, y: workgroups over units of 4 positions, folded; z: blocks of C channels of dx.
// Bindings: 0 dy, 1 packed weights (pack.wgsl, transposed), 2 dx.
// The batch size follows from the length of binding 2.

#include "quads"
#include "subgroup.wgsl"

#input weight 1 vec4<f32>

const LATTICE: vec2<u32> = (vec2<u32>(H, W) + 1u) / 2u;
const QUADS: u32 = (LATTICE.y + 3u) / 4u;
const WHOLE_ROWS: bool = 8u % QUADS == 0u;          // no row of units crosses a subgroup
const COLUMNS: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

var<private> acc: array<vec4<f32>, 64>;             // [C][row parity][column parity]
var<private> packed: array<vec4<f32>, 5>;           // this lane's share of the weights
var<private> last_weight: u32;                      // of all blocks
var<private> here: array<vec4<f32>, 2>;             // dy[i, j..j+3], dy[i+1, j..j+3]
var<private> right: array<vec4<f32>, 2>;            // dy[i, j+1..j+4], dy[i+1, j+1..j+4]

fn load_weights(i: u32, at: u32) {
    packed[i] = weight(min(at + i * 8u, last_weight));
}

fn weight_of(tap: u32, c: u32) -> f32 {
    let at = tap * C + c;
    return subgroupShuffle(packed[at / 32u][at % 4u], at / 4u % 8u);
}

fn channel(c: u32) {
    let a = c * 4u;
    acc[a] += weight_of(4u, c) * here[0];
    acc[a + 1u] += weight_of(3u, c) * right[0] + weight_of(5u, c) * here[0];
    acc[a + 2u] += weight_of(1u, c) * here[1] + weight_of(7u, c) * here[0];
    acc[a + 3u] += weight_of(0u, c) * right[1] + weight_of(2u, c) * here[1]
                 + weight_of(6u, c) * right[0] + weight_of(8u, c) * here[0];
}

fn load_row(r: u32, plane: u32, i: u32, q: u32) {
    let inside = i + r < HO;
    let at = plane + select(0u, i + r, inside) * WO + q * 4u;
    var v = select(vec4<f32>(), quad(at), inside);
    if WO % 4u != 0u { v = select(vec4<f32>(), v, q * 4u + COLUMNS < vec4<u32>(WO)); }
    var next = 0.0;
    if WHOLE_ROWS {
        next = subgroupShuffleDown(v.x, 1u);
    } else {
        next = select(0.0, pixel(at + 4u), inside);
    }
    here[r] = v;
    right[r] = vec4<f32>(v.yzw, select(0.0, next, q * 4u + 4u < WO));
}

fn store_row(c: u32, r: u32, at: u32, count: u32) {
    let even = acc[c * 4u + r * 2u];
    let odd = acc[c * 4u + r * 2u + 1u];
    store_quad(at, vec4<f32>(even.x, odd.x, even.y, odd.y), count);
    if count > 4u { store_quad(at + 4u, vec4<f32>(even.z, odd.z, even.w, odd.w), count - 4u); }
}

fn store(c: u32, ci: u32, at: u32, h: u32, count: u32) {
    if ci + c < CI {
        store_row(c, 0u, at + c * (H * W), count);
        if h + 1u < H { store_row(c, 1u, at + c * (H * W) + W, count); }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let unit = (wg.x + wg.y * grid.x) * 8u + lane;
    let q = unit % QUADS;
    let i = unit / QUADS % LATTICE.x;
    let batch = result_length() / (CI * H * W);
    last_weight = grid.z * (CO * 9u * C / 4u) - 1u;
    let n = min(unit / (QUADS * LATTICE.x), batch - 1u);

    var plane = n * (CO * HO * WO);
    var share = wg.z * (CO * 9u * C / 4u) + lane;
    for (var co = 0u; co < CO; co++) {
        load_weights(0u, share);
        load_weights(1u, share);
        load_weights(2u, share);
        if C > 8u {
            load_weights(3u, share);
            load_weights(4u, share);
        }
        load_row(0u, plane, i, q);
        load_row(1u, plane, i, q);
        channel(0u);
        channel(1u);
        channel(2u);
        channel(3u);
        channel(4u);
        channel(5u);
        channel(6u);
        channel(7u);
        if C > 8u {
            channel(8u);
            channel(9u);
            channel(10u);
            channel(11u);
            channel(12u);
            channel(13u);
            channel(14u);
            channel(15u);
        }
        plane += HO * WO;
        share += 9u * C / 4u;
    }

    let ci = wg.z * C;
    let h = i * 2u;
    let at = ((n * CI + ci) * H + h) * W + q * 8u;
    let count = W - q * 8u;
    if unit < batch * QUADS * LATTICE.x {
        store(0u, ci, at, h, count);
        store(1u, ci, at, h, count);
        store(2u, ci, at, h, count);
        store(3u, ci, at, h, count);
        store(4u, ci, at, h, count);
        store(5u, ci, at, h, count);
        store(6u, ci, at, h, count);
        store(7u, ci, at, h, count);
        if C > 8u {
            store(8u, ci, at, h, count);
            store(9u, ci, at, h, count);
            store(10u, ci, at, h, count);
            store(11u, ci, at, h, count);
            store(12u, ci, at, h, count);
            store(13u, ci, at, h, count);
            store(14u, ci, at, h, count);
            store(15u, ci, at, h, count);
        }
    }
}
