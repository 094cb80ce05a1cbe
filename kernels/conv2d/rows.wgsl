// 3x3 convolution with stride 1 or 2 and padding 1, straight from rows of NCHW:
//
//   y[n,co,h,w] = sum over ci,kh,kw of x[n, ci, h*STRIDE+kh-1, w*STRIDE+kw-1] * w[co,ci,kh,kw]
//
// (backward-data with stride 1 is this with flipped, transposed weights.)
//
// Mapping: a workgroup is 8 lanes of one subgroup. A lane computes a unit of R rows x 4 columns of y
// for C = 8 output channels: R*C vec4 accumulators. For each input channel it loads the rows of x under
// its unit and takes the pixels to the left and right from the lanes beside it; where a subgroup
// holds several bands of units, rows above and below come from other lanes too. The C*9 weights
// are loaded once for the subgroup, different ones in each lane, and broadcast by shuffles.
// Units are numbered column first, then band, then image; 8 to a workgroup.
// Grid: x, y: workgroups over units, folded; z: blocks of C output channels.
// Bindings: 0 x, 1 packed weights (pack.wgsl), 2 y. R is 2 or 4.
// The batch size follows from the length of binding 2.

#include "quads"
#include "subgroup.wgsl"

#input weight 1 vec4<f32>

const QUADS: u32 = (WO + 3u) / 4u;                  // units in a row
const BANDS: u32 = (HO + R - 1u) / R;               // units in a column
const WHOLE_ROWS: bool = 8u % QUADS == 0u;          // no row of units crosses a subgroup
const STACK: u32 = select(1u, 8u / QUADS, WHOLE_ROWS && STRIDE == 1u);  // bands in a subgroup
const COLUMNS: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

const C: u32 = 8u;                                  // the loop's body then stays in the first-level cache

var<private> acc: array<vec4<f32>, 32>;             // [C][R]
var<private> packed: array<vec4<f32>, 3>;           // this lane's share of the weights
var<private> last_weight: u32;                      // of all blocks
var<private> left: array<vec4<f32>, 6>;             // the pixels under kw 0, for each row of x
var<private> middle: array<vec4<f32>, 6>;           // under kw 1
var<private> right: array<vec4<f32>, 6>;            // under kw 2

fn load_weights(i: u32, at: u32) {
    packed[i] = weight(min(at + i * 8u, last_weight));
}

// ANCHOR: channel
fn weight_of(tap: u32, c: u32) -> f32 {
    let at = tap * C + c;
    return subgroupShuffle(packed[at / 32u][at % 4u], at / 4u % 8u);
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
    const S = STRIDE;
    let a = c * R;
    acc[a] += w0 * left[0] + w1 * middle[0] + w2 * right[0]
            + w3 * left[1] + w4 * middle[1] + w5 * right[1]
            + w6 * left[2] + w7 * middle[2] + w8 * right[2];
    acc[a + 1u] += w0 * left[S] + w1 * middle[S] + w2 * right[S]
                 + w3 * left[S + 1u] + w4 * middle[S + 1u] + w5 * right[S + 1u]
                 + w6 * left[S + 2u] + w7 * middle[S + 2u] + w8 * right[S + 2u];
    if R > 2u {
        acc[a + 2u] += w0 * left[2] + w1 * middle[2] + w2 * right[2]
                     + w3 * left[3] + w4 * middle[3] + w5 * right[3]
                     + w6 * left[4] + w7 * middle[4] + w8 * right[4];
        acc[a + 3u] += w0 * left[3] + w1 * middle[3] + w2 * right[3]
                     + w3 * left[4] + w4 * middle[4] + w5 * right[4]
                     + w6 * left[5] + w7 * middle[5] + w8 * right[5];
    }
}
// ANCHOR_END: channel

// Columns `column`..+3 of a row of x; zeros outside the image.
fn load(plane: u32, row: u32, column: u32) -> vec4<f32> {
    let inside = row < H;
    let v = select(vec4<f32>(), quad(plane + select(0u, row, inside) * W + column), inside);
    if W % 4u == 0u { return v; }
    return select(vec4<f32>(), v, column + COLUMNS < vec4<u32>(W));
}

// The pixel at (row, column), loaded by each lane for itself.
fn edge(plane: u32, row: u32, column: u32) -> f32 {
    return select(0.0, pixel(plane + select(0u, row, row < H) * W + column), row < H);
}

// Sets the window of row i, whose quad is v, for stride 1.
fn set_row(i: u32, v: vec4<f32>, plane: u32, row: u32, q: u32) {
    var l = 0.0;
    var r = 0.0;
    if WHOLE_ROWS {
        l = subgroupShuffleUp(v.w, 1u);
        r = subgroupShuffleDown(v.x, 1u);
    } else {
        l = edge(plane, row, q * 4u - 1u);
        r = edge(plane, row, q * 4u + 4u);
    }
    left[i] = vec4<f32>(select(0.0, l, q > 0u), v.xyz);
    middle[i] = v;
    right[i] = vec4<f32>(v.yzw, select(0.0, r, q + 1u < QUADS));
}

fn load_row(i: u32, plane: u32, top: u32, q: u32) {
    set_row(i, load(plane, top + i, q * 4u), plane, top + i, q);
}

// The rows above and below the lane's own, already loaded, from the bands beside it; those that are
// in no lane are loaded by the first and the last band at once.
fn share_rows(plane: u32, top: u32, q: u32, lane: u32) {
    let own_first = middle[1];
    let own_last = middle[R];
    var above = subgroupShuffleUp(own_last, QUADS);
    var below = subgroupShuffleDown(own_first, QUADS);
    if STACK % BANDS != 0u {
        let first = lane < QUADS;
        let last = lane >= 8u - QUADS;
        let v = load(plane, select(top + R + 1u, top, first), q * 4u);
        above = select(above, v, first);
        below = select(below, v, last);
    }
    set_row(0u, select(vec4<f32>(), above, top < H), plane, top, q);
    set_row(R + 1u, select(vec4<f32>(), below, top + R + 1u < H), plane, top + R + 1u, q);
}

fn load_row_2(i: u32, plane: u32, top: u32, q: u32) {
    let a = load(plane, top + i, q * 8u);
    var b = load(plane, top + i, min(q * 8u + 4u, (W - 1u) / 4u * 4u));
    if q * 8u + 4u >= W { b = vec4<f32>(); }
    var l = 0.0;
    if WHOLE_ROWS {
        l = subgroupShuffleUp(b.w, 1u);
    } else {
        l = edge(plane, top + i, q * 8u - 1u);
    }
    left[i] = vec4<f32>(select(0.0, l, q > 0u), a.yw, b.y);
    middle[i] = vec4<f32>(a.xz, b.xz);
    right[i] = vec4<f32>(a.yw, b.yw);
}

fn store_row(c: u32, r: u32, h: u32, at: u32, count: u32) {
    if h + r < HO { store_quad(at + (c * HO + r) * WO, acc[c * R + r], count); }
}

fn store(c: u32, co: u32, h: u32, at: u32, count: u32) {
    if co + c < CO {
        store_row(c, 0u, h, at, count);
        store_row(c, 1u, h, at, count);
        if R > 2u {
            store_row(c, 2u, h, at, count);
            store_row(c, 3u, h, at, count);
        }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let unit = (wg.x + wg.y * grid.x) * 8u + lane;
    let q = unit % QUADS;
    let h = unit / QUADS % BANDS * R;
    let top = h * STRIDE - 1u;                      // the first row of x; wraps above the image
    let batch = result_length() / (CO * HO * WO);
    last_weight = grid.z * (CI * 9u * C / 4u) - 1u;
    let n = min(unit / (QUADS * BANDS), batch - 1u);

    var plane = n * (CI * H * W);
    var share = wg.z * (CI * 9u * C / 4u) + lane;
    for (var ci = 0u; ci < CI; ci++) {
        load_weights(0u, share);
        load_weights(1u, share);
        load_weights(2u, share);
        if STRIDE == 2u {
            load_row_2(0u, plane, top, q);
            load_row_2(1u, plane, top, q);
            load_row_2(2u, plane, top, q);
            load_row_2(3u, plane, top, q);
            load_row_2(4u, plane, top, q);
        } else {
            load_row(1u, plane, top, q);
            load_row(2u, plane, top, q);
            if R > 2u {
                load_row(3u, plane, top, q);
                load_row(4u, plane, top, q);
            }
            if STACK > 1u {
                share_rows(plane, top, q, lane);
            } else {
                load_row(0u, plane, top, q);
                load_row(R + 1u, plane, top, q);
            }
        }
        channel(0u);
        channel(1u);
        channel(2u);
        channel(3u);
        channel(4u);
        channel(5u);
        channel(6u);
        channel(7u);
        plane += H * W;
        share += 9u * C / 4u;
    }

    let co = wg.z * C;
    let to = ((n * CO + co) * HO + h) * WO + q * 4u;
    let count = WO - q * 4u;
    if unit < batch * QUADS * BANDS {
        store(0u, co, h, to, count);
        store(1u, co, h, to, count);
        store(2u, co, h, to, count);
        store(3u, co, h, to, count);
        store(4u, co, h, to, count);
        store(5u, co, h, to, count);
        store(6u, co, h, to, count);
        store(7u, co, h, to, count);
    }
}
