// Backward-weights of any convolution, pixels gathered one by one:
//
//   dw[co,ci,kh,kw] = sum over n,oh,ow of dy[n,co,oh,ow] * x[n, ci, oh*SH+kh*DH-PH, ow*SW+kw*DW-PW]
//
// Mapping: a workgroup is 8 lanes of one subgroup that computes 32 output channels x 32 taps k, where
// k counts (ci, kh, kw) of a group; a lane owns 4 of the taps: 32 x 4 sums. For each 4 neighbouring
// positions of dy it gathers 4 x 4 pixels of x; the subgroup loads the 32 quads of dy, different
// ones in each lane, and broadcasts them by shuffles.
// Grid: x blocks of taps, y group and block of output channels, z shares of the (image, row) pairs.
// Bindings: 0 x, 1 dy, 2 partial[z][co][k] (summed by sum_partials.wgsl), or dw if z is 1.

#include "subgroup.wgsl"

#input x 0 f32 3
#input dy 1 f32
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const C: u32 = 32u;
const GI: u32 = CI / GROUPS;
const GO: u32 = CO / GROUPS;
const K: u32 = GI * KH * KW;
const BLOCKS: u32 = (GO + C - 1u) / C;

var<private> acc: array<vec4<f32>, 32>;             // [channel], the lane's 4 taps in the vector
var<private> grad: array<vec4<f32>, 4>;             // this lane's share of dy
var<private> pixels: array<vec4<f32>, 4>;           // [position], the lane's 4 taps in the vector

fn load_grad(i: u32, lane: u32, channel: u32, at: u32, count: u32) {
    let v = dy_four(at + min(channel + i * 8u + lane, GO - 1u) * (HO * WO));
    grad[i] = select(vec4<f32>(), v, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
}

// The pixels under output column ow: `plane` and `row` are each tap's plane and input row.
fn load_pixels(i: u32, plane: vec4<u32>, row: vec4<u32>, column: vec4<u32>) {
    let at = min(plane + row * W + column, vec4<u32>(x_length() - 1u));
    let inside = (row < vec4<u32>(H)) & (column < vec4<u32>(W));
    pixels[i] = select(vec4<f32>(), vec4<f32>(x(at.x), x(at.y), x(at.z), x(at.w)), inside);
}

fn channel(c: u32) {
    let g = subgroupShuffle(grad[c / 8u], c % 8u);
    acc[c] += g.x * pixels[0] + g.y * pixels[1] + g.z * pixels[2] + g.w * pixels[3];
}

fn store(c: u32, channel: u32, at: u32, count: u32) {
    if channel + c >= GO { return; }
    let to = at + c * K;
    result[to] = acc[c].x;
    if count > 1u { result[to + 1u] = acc[c].y; }
    if count > 2u { result[to + 2u] = acc[c].z; }
    if count > 3u { result[to + 3u] = acc[c].w; }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let first = (wg.x * 8u + lane) * 4u;
    let k = min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(K - 1u));
    let kh = k / KW % KH * DH - PH;
    let kw = k % KW * DW - PW;
    let block = wg.y % BLOCKS * C;
    let group = wg.y / BLOCKS;
    let rows = x_length() / (CI * H * W) * HO;
    let share = (rows + grid.z - 1u) / grid.z;
    let end = min((wg.z + 1u) * share, rows);
    for (var r = wg.z * share; r < end; r++) {
        let n = r / HO;
        let oh = r % HO;
        let plane = (n * CI + group * GI + k / (KH * KW)) * (H * W);
        let row = oh * SH + kh;
        for (var ow = 0u; ow < WO; ow += 4u) {
            let at = ((n * GROUPS + group) * GO * HO + oh) * WO + ow;
            load_grad(0u, lane, block, at, WO - ow);
            load_grad(1u, lane, block, at, WO - ow);
            load_grad(2u, lane, block, at, WO - ow);
            load_grad(3u, lane, block, at, WO - ow);
            load_pixels(0u, plane, row, ow * SW + kw);
            load_pixels(1u, plane, row, ow * SW + SW + kw);
            load_pixels(2u, plane, row, ow * SW + 2u * SW + kw);
            load_pixels(3u, plane, row, ow * SW + 3u * SW + kw);
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
            channel(16u);
            channel(17u);
            channel(18u);
            channel(19u);
            channel(20u);
            channel(21u);
            channel(22u);
            channel(23u);
            channel(24u);
            channel(25u);
            channel(26u);
            channel(27u);
            channel(28u);
            channel(29u);
            channel(30u);
            channel(31u);
        }
    }
    if first < K {
        let to = (wg.z * CO + group * GO + block) * K + first;
        store(0u, block, to, K - first);
        store(1u, block, to, K - first);
        store(2u, block, to, K - first);
        store(3u, block, to, K - first);
        store(4u, block, to, K - first);
        store(5u, block, to, K - first);
        store(6u, block, to, K - first);
        store(7u, block, to, K - first);
        store(8u, block, to, K - first);
        store(9u, block, to, K - first);
        store(10u, block, to, K - first);
        store(11u, block, to, K - first);
        store(12u, block, to, K - first);
        store(13u, block, to, K - first);
        store(14u, block, to, K - first);
        store(15u, block, to, K - first);
        store(16u, block, to, K - first);
        store(17u, block, to, K - first);
        store(18u, block, to, K - first);
        store(19u, block, to, K - first);
        store(20u, block, to, K - first);
        store(21u, block, to, K - first);
        store(22u, block, to, K - first);
        store(23u, block, to, K - first);
        store(24u, block, to, K - first);
        store(25u, block, to, K - first);
        store(26u, block, to, K - first);
        store(27u, block, to, K - first);
        store(28u, block, to, K - first);
        store(29u, block, to, K - first);
        store(30u, block, to, K - first);
        store(31u, block, to, K - first);
    }
}
