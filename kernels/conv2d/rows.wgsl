// 3x3 convolution with stride 1, straight from rows of NCHW:
//
//   y[n,co,h,w] = sum over ci,kh,kw of x[n, ci, h+kh-PH, w+kw-PW] * w[co,ci,kh,kw],   PH, PW <= 1
//
// (backward-data is this with flipped, transposed weights and padding 2-PH, 2-PW.)
//
// Mapping: a workgroup is one subgroup of 8 lanes. A lane computes R rows of 4 neighbouring pixels
// for C output channels: R*C vec4 accumulators. For each input channel it loads R+2 rows of 4
// pixels and takes the pixel to the left and right from the lanes beside it; the C*9 weights are
// loaded once for the subgroup, different ones in each lane, and broadcast by shuffles.
// Units (4 x R pixels) are numbered column first, then row, then image, 8 to a workgroup.
// Grid: x, y: workgroups over units, folded; z: blocks of C output channels.
// Bindings: 0 x, 1 packed weights (pack.wgsl), 2 y.

#include "quads"
#include "subgroup.wgsl"

@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;

const QUADS: u32 = (WO + 3u) / 4u;                  // units in a row
const BANDS: u32 = (HO + R - 1u) / R;               // units in a column
const WHOLE_ROWS: bool = 8u % QUADS == 0u;          // no row of units crosses a subgroup

var<private> acc: array<vec4<f32>, 64>;             // [C][R]
var<private> packed: array<vec4<f32>, 5>;           // this lane's share of the weights
var<private> left: array<vec4<f32>, 6>;             // columns w-1 .. w+2 of rows h-1 .. h+R
var<private> middle: array<vec4<f32>, 6>;           // columns w .. w+3
var<private> right: array<vec4<f32>, 6>;            // columns w+1 .. w+4

fn weight_of(tap: u32, c: u32) -> f32 {
    let at = tap * C + c;
    return subgroupShuffle(packed[at / 32u][at % 4u], at / 4u % 8u);
}

fn load_weights(i: u32, at: u32) {
    packed[i] = weight[min(at + i * 8u, arrayLength(&weight) - 1u)];
}

fn channel(c: u32) {
    let w0 = weight_of(0u, c);
    let w1 = weight_of(1u, c);
    let w2 = weight_of(2u, c);
    let w3 = weight_of(3u, c);
    let w4 = weight_of(4u, c);
    let w5 = weight_of(5u, c);
    let w6 = weight_of(6u, c);
    let w7 = weight_of(7u, c);
    let w8 = weight_of(8u, c);
    let a = c * R;
    acc[a] += w0 * left[0] + w1 * middle[0] + w2 * right[0]
            + w3 * left[1] + w4 * middle[1] + w5 * right[1]
            + w6 * left[2] + w7 * middle[2] + w8 * right[2];
    if R > 1u {
        acc[a + 1u] += w0 * left[1] + w1 * middle[1] + w2 * right[1]
                     + w3 * left[2] + w4 * middle[2] + w5 * right[2]
                     + w6 * left[3] + w7 * middle[3] + w8 * right[3];
    }
    if R > 2u {
        acc[a + 2u] += w0 * left[2] + w1 * middle[2] + w2 * right[2]
                     + w3 * left[3] + w4 * middle[3] + w5 * right[3]
                     + w6 * left[4] + w7 * middle[4] + w8 * right[4];
        acc[a + 3u] += w0 * left[3] + w1 * middle[3] + w2 * right[3]
                     + w3 * left[4] + w4 * middle[4] + w5 * right[4]
                     + w6 * left[5] + w7 * middle[5] + w8 * right[5];
    }
}

// Loads row i of the window; `at` is the row's first element, `q` the lane's quad in it.
fn load_row(i: u32, at: u32, inside: bool, q: u32) {
    var m = select(vec4<f32>(), quad(at + q * 4u), inside);
    if W % 4u != 0u { m = select(vec4<f32>(), m, q * 4u + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(W)); }
    var l = 0.0;
    var r = 0.0;
    if WHOLE_ROWS {
        l = subgroupShuffleUp(m.w, 1u);
        r = subgroupShuffleDown(m.x, 1u);
    } else {
        l = select(0.0, pixel(at + q * 4u - 1u), inside);
        r = select(0.0, pixel(at + q * 4u + 4u), inside);
    }
    l = select(0.0, l, q > 0u);
    r = select(0.0, r, q + 1u < QUADS);
    left[i] = vec4<f32>(l, m.xyz);
    middle[i] = m;
    right[i] = vec4<f32>(m.yzw, r);
}

fn store_row(c: u32, r: u32, h: u32, at: u32, count: u32) {
    if h + r < HO { store_quad(at + (c * HO + r) * WO, acc[c * R + r], count); }
}

fn store(c: u32, co: u32, h: u32, at: u32, count: u32) {
    if co + c < CO {
        store_row(c, 0u, h, at, count);
        if R > 1u { store_row(c, 1u, h, at, count); }
        if R > 2u { store_row(c, 2u, h, at, count); }
        if R > 2u { store_row(c, 3u, h, at, count); }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let unit = (wg.x + wg.y * grid.x) * 8u + lane;
    let q = unit % QUADS;
    let h = unit / QUADS % BANDS * R;
    let batch = image_length() / (CI * H * W);
    let n = min(unit / (QUADS * BANDS), batch - 1u);
    let live = unit < batch * QUADS * BANDS;

    var at = n * (CI * H * W) + h * W;
    var share = wg.z * (CI * 9u * C / 4u);
    for (var ci = 0u; ci < CI; ci++) {
        load_weights(0u, share + lane);
        load_weights(1u, share + lane);
        load_weights(2u, share + lane);
        if C > 8u {
            load_weights(3u, share + lane);
            load_weights(4u, share + lane);
        }
        load_row(0u, at - select(0u, W, h > 0u), h > 0u, q);
        load_row(1u, at, true, q);
        load_row(2u, at + W, h + 1u < H, q);
        if R > 1u { load_row(3u, at + 2u * W, h + 2u < H, q); }
        if R > 2u { load_row(4u, at + 3u * W, h + 3u < H, q); }
        if R > 2u { load_row(5u, at + 4u * W, h + 4u < H, q); }
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
        at += H * W;
        share += 9u * C / 4u;
    }

    let co = wg.z * C;
    let to = ((n * CO + co) * HO + h) * WO + q * 4u;
    let count = WO - q * 4u;
    if live {
        store(0u, co, h, to, count);
        store(1u, co, h, to, count);
        store(2u, co, h, to, count);
        store(3u, co, h, to, count);
        store(4u, co, h, to, count);
        store(5u, co, h, to, count);
        store(6u, co, h, to, count);
        store(7u, co, h, to, count);
        if C > 8u {
            store(8u, co, h, to, count);
            store(9u, co, h, to, count);
            store(10u, co, h, to, count);
            store(11u, co, h, to, count);
            store(12u, co, h, to, count);
            store(13u, co, h, to, count);
            store(14u, co, h, to, count);
            store(15u, co, h, to, count);
        }
    }
}
