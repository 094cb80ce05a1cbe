// Backward-weights of a 3x3 convolution with stride 1 or 2 and padding 1, straight from NCHW:
//
//   dw[co,ci,kh,kw] = sum over n,oh,ow of dy[n,co,oh,ow] * x[n, ci, oh*STRIDE+kh-1, ow*STRIDE+kw-1]
//
// Mapping: a workgroup is one subgroup of 8 lanes. A lane owns one input channel; the subgroup owns
// C = 16 output channels, so a lane accumulates 16 x 9 sums and nothing is ever added across lanes.
// A step covers two quads (4 columns) of output: one below the other, or, in a WIDE step for rows of
// at most 8, side by side. The lane loads its channel's window of x (the column to the left is kept
// from the step before); the subgroup loads the 16 x 2 quads of dy, a different one in each lane,
// and broadcasts them by shuffles.
// Grid: x input channels / 8, y output channels / 16, z shares of the (image, band of R output rows) pairs.
// Bindings: 0 x, 1 dy, 2 partial[z][co][ci][9] (summed by sum_partials.wgsl), or dw if z is 1.

#include "operands"
#include "subgroup.wgsl"

const C: u32 = 16u;
const R: u32 = select(2u, 1u, WIDE);               // output rows of a step
const QUADS: u32 = (WO + 3u) / 4u;
const BANDS: u32 = (HO + R - 1u) / R;
const ROWS: u32 = (R - 1u) * STRIDE + 3u;           // rows of x that a step needs
const STEPS: u32 = select(QUADS, 1u, WIDE);         // steps in a band
const PITCH: u32 = select(4u, 8u, WIDE);            // columns of dy in a step
const COLUMNS: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

var<private> acc: array<vec3<f32>, 48>;             // [C][kh], kw in the vector
var<private> grad: array<vec4<f32>, 4>;             // this lane's share of dy
var<private> before: array<f32, 5>;                 // for each row of x: the pixel left of the step
var<private> here: array<vec4<f32>, 5>;             // the first quad of the step
var<private> beside: array<vec4<f32>, 5>;           // the quad after it
var<private> window: array<vec3<f32>, 24>;          // [row][column of dy]: the pixels under kw 0..2

// Quad q of row i of the window whose first row is `top`; zeros outside the image.
fn load_quad(i: u32, plane: u32, top: u32, q: u32) -> vec4<f32> {
    let row = top + i - 1u;                         // wraps above the image
    let inside = row < H;
    let v = select(vec4<f32>(), x_quad(plane + select(0u, row, inside) * W + q * 4u), inside);
    if W % 4u == 0u { return v; }
    return select(vec4<f32>(), v, q * 4u + COLUMNS < vec4<u32>(W));
}

// Before the first step of a band.
fn start_row(i: u32, plane: u32, top: u32) {
    here[i] = vec4<f32>();
    beside[i] = vec4<f32>();
    if STRIDE == 1u && !WIDE { beside[i] = load_quad(i, plane, top, 0u); }
}

fn load_row(i: u32, plane: u32, top: u32, q: u32) {
    if WIDE {
        let a = load_quad(i, plane, top, 0u);
        let b = load_quad(i, plane, top, 1u);
        window[i * PITCH] = vec3<f32>(0.0, a.xy);
        window[i * PITCH + 1u] = a.xyz;
        window[i * PITCH + 2u] = a.yzw;
        window[i * PITCH + 3u] = vec3<f32>(a.zw, b.x);
        window[i * PITCH + 4u] = vec3<f32>(a.w, b.xy);
        window[i * PITCH + 5u] = b.xyz;
        window[i * PITCH + 6u] = b.yzw;
        window[i * PITCH + 7u] = vec3<f32>(b.zw, 0.0);
    } else if STRIDE == 1u {
        before[i] = here[i].w;
        here[i] = beside[i];
        beside[i] = vec4<f32>();
        if q + 1u < QUADS { beside[i] = load_quad(i, plane, top, q + 1u); }
        let v = here[i];
        window[i * PITCH] = vec3<f32>(before[i], v.xy);
        window[i * PITCH + 1u] = v.xyz;
        window[i * PITCH + 2u] = v.yzw;
        window[i * PITCH + 3u] = vec3<f32>(v.zw, beside[i].x);
    } else {
        before[i] = beside[i].w;
        here[i] = load_quad(i, plane, top, q * 2u);
        beside[i] = load_quad(i, plane, top, q * 2u + 1u);
        window[i * PITCH] = vec3<f32>(before[i], here[i].xy);
        window[i * PITCH + 1u] = here[i].yzw;
        window[i * PITCH + 2u] = vec3<f32>(here[i].w, beside[i].xy);
        window[i * PITCH + 3u] = beside[i].yzw;
    }
}

// The step's dy in lane order: channel i*4 + lane/2, its quad lane % 2.
fn load_grad(i: u32, lane: u32, n: u32, co: u32, top: u32, first: u32) {
    let c = co + i * 4u + lane / 2u;
    let row = top + select(lane % 2u, 0u, WIDE);
    let q = first + select(0u, lane % 2u, WIDE);
    let at = ((n * CO + min(c, CO - 1u)) * HO + min(row, HO - 1u)) * WO + q * 4u;
    var v = select(vec4<f32>(), dy_quad(at), c < CO && row < HO);
    if WO % 4u != 0u { v = select(vec4<f32>(), v, q * 4u + COLUMNS < vec4<u32>(WO)); }
    grad[i] = v;
}

fn tap_row(c: u32, kh: u32, g0: vec4<f32>, g1: vec4<f32>) {
    let a = kh * PITCH;
    let b = select((STRIDE + kh) * PITCH, kh * PITCH + 4u, WIDE);
    acc[c * 3u + kh] += g0.x * window[a] + g0.y * window[a + 1u]
                      + g0.z * window[a + 2u] + g0.w * window[a + 3u]
                      + g1.x * window[b] + g1.y * window[b + 1u]
                      + g1.z * window[b + 2u] + g1.w * window[b + 3u];
}

fn channel(c: u32) {
    let g0 = subgroupShuffle(grad[c / 4u], c % 4u * 2u);
    let g1 = subgroupShuffle(grad[c / 4u], c % 4u * 2u + 1u);
    tap_row(c, 0u, g0, g1);
    tap_row(c, 1u, g0, g1);
    tap_row(c, 2u, g0, g1);
}

fn store(c: u32, ci: u32, co: u32, z: u32) {
    if ci < CI && co + c < CO {
        let at = ((z * CO + co + c) * CI + ci) * 9u;
        result[at] = acc[c * 3u].x;
        result[at + 1u] = acc[c * 3u].y;
        result[at + 2u] = acc[c * 3u].z;
        result[at + 3u] = acc[c * 3u + 1u].x;
        result[at + 4u] = acc[c * 3u + 1u].y;
        result[at + 5u] = acc[c * 3u + 1u].z;
        result[at + 6u] = acc[c * 3u + 2u].x;
        result[at + 7u] = acc[c * 3u + 2u].y;
        result[at + 8u] = acc[c * 3u + 2u].z;
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let ci = wg.x * 8u + lane;
    let co = wg.y * C;
    let bands = x_length() / (CI * H * W) * BANDS;
    let share = (bands + grid.z - 1u) / grid.z;
    let end = min((wg.z + 1u) * share, bands);
    for (var band = wg.z * share; band < end; band++) {
        let n = band / BANDS;
        let h = band % BANDS * R;
        let plane = (n * CI + min(ci, CI - 1u)) * (H * W);
        start_row(0u, plane, h * STRIDE);
        start_row(1u, plane, h * STRIDE);
        start_row(2u, plane, h * STRIDE);
        if ROWS > 3u { start_row(3u, plane, h * STRIDE); }
        if ROWS > 4u { start_row(4u, plane, h * STRIDE); }
        for (var q = 0u; q < STEPS; q++) {
            load_row(0u, plane, h * STRIDE, q);
            load_row(1u, plane, h * STRIDE, q);
            load_row(2u, plane, h * STRIDE, q);
            if ROWS > 3u { load_row(3u, plane, h * STRIDE, q); }
            if ROWS > 4u { load_row(4u, plane, h * STRIDE, q); }
            load_grad(0u, lane, n, co, h, q);
            load_grad(1u, lane, n, co, h, q);
            load_grad(2u, lane, n, co, h, q);
            load_grad(3u, lane, n, co, h, q);
            channel(0u);
            channel(1u);
            channel(2u);
            channel(3u);
            channel(4u);
            channel(5u);
            channel(6u);
            channel(7u);
            channel(8u);
            channel(9u);
            channel(10u);
            channel(11u);
            channel(12u);
            channel(13u);
            channel(14u);
            channel(15u);
        }
    }
    store(0u, ci, co, wg.z);
    store(1u, ci, co, wg.z);
    store(2u, ci, co, wg.z);
    store(3u, ci, co, wg.z);
    store(4u, ci, co, wg.z);
    store(5u, ci, co, wg.z);
    store(6u, ci, co, wg.z);
    store(7u, ci, co, wg.z);
    store(8u, ci, co, wg.z);
    store(9u, ci, co, wg.z);
    store(10u, ci, co, wg.z);
    store(11u, ci, co, wg.z);
    store(12u, ci, co, wg.z);
    store(13u, ci, co, wg.z);
    store(14u, ci, co, wg.z);
    store(15u, ci, co, wg.z);
}
