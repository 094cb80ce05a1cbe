// Backward-weights of a 3x3 convolution with stride 1 or 2 and padding 1, straight from NCHW:
//
//   dw[co,ci,kh,kw] = sum over n,oh,ow of dy[n,co,oh,ow] * x[n, ci, oh*STRIDE+kh-1, ow*STRIDE+kw-1]
//
// Mapping: a workgroup is 8 lanes of one subgroup. A lane owns one input channel; the subgroup owns
// C output channels (8 or 16), so a lane accumulates C x 9 sums and nothing is ever added across lanes.
// The work is cut into strips, 8 columns of dy wide, and goes down a strip row by row: the lane loads
// the new rows of its channel of x and keeps those that the next row of dy needs again; the
// subgroup loads the C x 8 values of dy, different ones in each lane, and broadcasts them by shuffles.
// Grid: x input channels / 8, y output channels / C, z shares of the rows of all strips and images.
// Bindings: 0 x, 1 dy, 2 partial[z][co][ci][9] (summed by sum_partials.wgsl), or dw if z is 1.
// The batch size follows from the length of x.

#include "operands"
#include "subgroup.wgsl"

@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const STRIPS: u32 = (WO + 7u) / 8u;
const SPAN: u32 = 8u * STRIDE;                      // columns of x under a strip, sides not counted
const PITCH: u32 = 18u;                             // of a row of `pixels`
const COLUMNS: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

var<private> acc: array<vec3<f32>, 48>;             // [C][kh], kw in the vector; with C = 8 half of it
var<private> grad: array<vec4<f32>, 4>;             // this lane's share of a row of dy
var<private> pixels: array<f32, 54>;                // 3 rows of x; entry 0 is left of the strip

fn load_quad(i: u32, t: u32, at: u32, column: u32, inside: bool) {
    var v = select(vec4<f32>(), x_quad(at + min(column, (W - 1u) / 4u * 4u)), inside && column < W);
    if W % 4u != 0u { v = select(vec4<f32>(), v, column + COLUMNS < vec4<u32>(W)); }
    let to = i * PITCH + t * 4u;
    pixels[to + 1u] = v.x;
    pixels[to + 2u] = v.y;
    pixels[to + 3u] = v.z;
    pixels[to + 4u] = v.w;
}

fn side(at: u32, column: u32, inside: bool) -> f32 {
    return select(0.0, x_pixel(at + min(column, W - 1u)), inside && column < W);
}

// Loads row i of the window: `row` of x, zeros outside the image.
fn load_row(i: u32, plane: u32, row: u32, strip: u32) {
    let inside = row < H;
    let at = plane + select(0u, row, inside) * W;
    let column = strip * SPAN;
    load_quad(i, 0u, at, column, inside);
    load_quad(i, 1u, at, column + 4u, inside);
    if STRIDE == 2u {
        load_quad(i, 2u, at, column + 8u, inside);
        load_quad(i, 3u, at, column + 12u, inside);
    }
    var left = 0.0;
    var right = 0.0;
    if STRIPS == 2u {                               // each strip has one neighbour
        let v = side(at, select(column + SPAN, column - 1u, strip == 1u), inside);
        left = select(0.0, v, strip == 1u);
        right = select(0.0, v, strip == 0u);
    } else if STRIPS > 2u {
        left = side(at, column - 1u, inside);
        if STRIDE == 1u { right = side(at, column + SPAN, inside); }
    }
    pixels[i * PITCH] = left;
    pixels[i * PITCH + SPAN + 1u] = right;
}

fn copy(to: u32, source: u32, i: u32) { pixels[to * PITCH + i] = pixels[source * PITCH + i]; }

fn copy_row(to: u32, source: u32) {
    copy(to, source, 0u);
    copy(to, source, 1u);
    copy(to, source, 2u);
    copy(to, source, 3u);
    copy(to, source, 4u);
    copy(to, source, 5u);
    copy(to, source, 6u);
    copy(to, source, 7u);
    copy(to, source, 8u);
    copy(to, source, 9u);
    if STRIDE == 2u {
        copy(to, source, 10u);
        copy(to, source, 11u);
        copy(to, source, 12u);
        copy(to, source, 13u);
        copy(to, source, 14u);
        copy(to, source, 15u);
        copy(to, source, 16u);
        copy(to, source, 17u);
    }
}

// A row of dy in lane order: channel i*4 + lane/2, its quad lane % 2.
fn load_grad(i: u32, lane: u32, n: u32, co: u32, oh: u32, strip: u32) {
    let c = co + i * 4u + lane / 2u;
    let ow = strip * 8u + lane % 2u * 4u;
    let row = ((n * CO + min(c, CO - 1u)) * HO + oh) * WO;
    var v = select(vec4<f32>(), dy_quad(row + min(ow, (WO - 1u) / 4u * 4u)), c < CO && ow < WO);
    if WO % 4u != 0u { v = select(vec4<f32>(), v, ow + COLUMNS < vec4<u32>(WO)); }
    grad[i] = v;
}

// The pixels under kw 0..2 for column j of the strip.
fn under(row: u32, j: u32) -> vec3<f32> {
    let at = row * PITCH + j * STRIDE;
    return vec3<f32>(pixels[at], pixels[at + 1u], pixels[at + 2u]);
}

fn tap_row(c: u32, kh: u32, g0: vec4<f32>, g1: vec4<f32>) {
    acc[c * 3u + kh] += g0.x * under(kh, 0u) + g0.y * under(kh, 1u)
                      + g0.z * under(kh, 2u) + g0.w * under(kh, 3u)
                      + g1.x * under(kh, 4u) + g1.y * under(kh, 5u)
                      + g1.z * under(kh, 6u) + g1.w * under(kh, 7u);
}

fn channel(c: u32) {
    let g0 = subgroupShuffle(grad[c / 4u], c % 4u * 2u);
    let g1 = subgroupShuffle(grad[c / 4u], c % 4u * 2u + 1u);
    tap_row(c, 0u, g0, g1);
    tap_row(c, 1u, g0, g1);
    tap_row(c, 2u, g0, g1);
}

fn store_row(c: u32, kh: u32, at: u32) {
    let v = acc[c * 3u + kh];
    result[at] = v.x;
    result[at + 1u] = v.y;
    result[at + 2u] = v.z;
}

// The nine sums of channel c of the block; `at` is where its first channel's are.
fn store(c: u32, co: u32, at: u32) {
    if (CO % C == 0u) | (co + c < CO) {
        let to = at + c * (CI * 9u);
        store_row(c, 0u, to);
        store_row(c, 1u, to + 3u);
        store_row(c, 2u, to + 6u);
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let ci = wg.x * 8u + lane;
    let co = wg.y * C;
    let rows = x_words() / (CI * H * W) * STRIPS * HO;
    let share = (rows + grid.z - 1u) / grid.z;
    let begin = wg.z * share;
    let end = min(begin + share, rows);
    for (var unit = begin / HO; unit * HO < end; unit++) {
        let n = unit / STRIPS;
        let strip = unit % STRIPS;
        let plane = (n * CI + min(ci, CI - 1u)) * (H * W);
        let first = max(begin, unit * HO) - unit * HO;
        let stop = min(end - unit * HO, HO);
        load_row(0u, plane, first * STRIDE - 1u, strip);
        if STRIDE == 1u { load_row(1u, plane, first, strip); }
        for (var oh = first; oh < stop; oh++) {
            if STRIDE == 2u { load_row(1u, plane, oh * 2u, strip); }
            load_row(2u, plane, oh * STRIDE + 1u, strip);
            load_grad(0u, lane, n, co, oh, strip);
            load_grad(1u, lane, n, co, oh, strip);
            if C > 8u {
                load_grad(2u, lane, n, co, oh, strip);
                load_grad(3u, lane, n, co, oh, strip);
            }
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
            if STRIDE == 1u {
                copy_row(0u, 1u);
                copy_row(1u, 2u);
            } else {
                copy_row(0u, 2u);
            }
        }
    }
    if ci < CI {
        let at = ((wg.z * CO + co) * CI + ci) * 9u;
        store(0u, co, at);
        store(1u, co, at);
        store(2u, co, at);
        store(3u, co, at);
        store(4u, co, at);
        store(5u, co, at);
        store(6u, co, at);
        store(7u, co, at);
        if C > 8u {
            store(8u, co, at);
            store(9u, co, at);
            store(10u, co, at);
            store(11u, co, at);
            store(12u, co, at);
            store(13u, co, at);
            store(14u, co, at);
            store(15u, co, at);
        }
    }
}
