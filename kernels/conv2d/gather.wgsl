// Forward and backward-data of any convolution, pixels gathered one by one:
//
//   forward        y[n,co,i,j]   = sum over ci,kh,kw of x[n, ci, i*SH+kh*DH-PH, j*SW+kw*DW-PW] * w[co,ci,kh,kw]
//   backward-data  dx[n,ci,h,w]  = sum over co and the taps that reach (h,w) of dy * w
//
// Backward-data runs phase by phase (phases.wgsl).
//
// Mapping: a workgroup is 8 lanes of one subgroup. A lane computes 4 neighbouring positions (i, j..j+3)
// of a phase for C channels; for each tap and input channel it gathers 4 pixels, the subgroup loads
// the C weights, different ones in each lane, and broadcasts them by shuffles.
// Grid: x, y: workgroups over units of 4 positions, folded; z: phase, group, block of C channels.
// Bindings: 0 x or dy, 1 packed weights (pack.wgsl), 2 y or dx.

#include "phases"
#include "subgroup.wgsl"

#input image 0 f32 3
#input weight 1 vec4<f32> 4
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const QUADS: u32 = (LATTICE.y + 3u) / 4u;
const BLOCKS: u32 = (OUT + C - 1u) / C;

var<private> acc: array<vec4<f32>, 32>;
var<private> packed: vec4<f32>;
var<private> pixels: vec4<f32>;

fn channel(c: u32) {
    acc[c] += subgroupShuffle(packed[c % 4u], c / 4u) * pixels;
}

fn store(c: u32, channel: u32, at: u32, count: u32) {
    if channel + c >= OUT { return; }
    let to = at + c * (RESULT.x * RESULT.y);
    result[to] = acc[c].x;
    if count > 1u { result[to + PHASES.y] = acc[c].y; }
    if count > 2u { result[to + 2u * PHASES.y] = acc[c].z; }
    if count > 3u { result[to + 3u * PHASES.y] = acc[c].w; }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let unit = (wg.x + wg.y * grid.x) * 8u + lane;
    let j = unit % QUADS * 4u;
    let i = unit / QUADS % LATTICE.x;
    let batch = image_length() / (IN * GROUPS * IMAGE.x * IMAGE.y);
    let n = min(unit / (QUADS * LATTICE.x), batch - 1u);
    let block = wg.z % BLOCKS;
    let group = wg.z / BLOCKS % GROUPS;
    let phase = vec2<u32>(wg.z / (BLOCKS * GROUPS) / PHASES.y, wg.z / (BLOCKS * GROUPS) % PHASES.y);
    let kh0 = first_tap(phase.x, SH, PH, DH, KH, TAP_STEP_H);
    let kw0 = first_tap(phase.y, SW, PW, DW, KW, TAP_STEP_W);
    let last = image_length() - 1u;

    var plane = (n * GROUPS + group) * IN * (IMAGE.x * IMAGE.y);
    var share = (group * BLOCKS + block) * IN * TAPS * (C / 4u);
    for (var in = 0u; in < IN; in++) {
        for (var kh = kh0; kh < KH; kh += TAP_STEP_H) {
            let row = i * PIXEL_STEP.x + tap_offset(phase.x, kh, SH, PH, DH);
            for (var kw = kw0; kw < KW; kw += TAP_STEP_W) {
                let tap = kh * KW + kw;
                packed = weight(min(share + tap * (C / 4u) + lane, weight_length() - 1u));
                let at = (j + vec4<u32>(0u, 1u, 2u, 3u)) * PIXEL_STEP.y
                    + tap_offset(phase.y, kw, SW, PW, DW);
                let inside = (at < vec4<u32>(IMAGE.y)) & vec4<bool>(row < IMAGE.x);
                let source = min(plane + row * IMAGE.y + at, vec4<u32>(last));
                pixels = vec4<f32>(image(source.x), image(source.y), image(source.z), image(source.w));
                pixels = select(vec4<f32>(), pixels, inside);
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
                if C > 16u {
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
        }
        plane += IMAGE.x * IMAGE.y;
        share += TAPS * (C / 4u);
    }

    let h = i * PHASES.x + phase.x;
    let w = j * PHASES.y + phase.y;
    if unit < batch * QUADS * LATTICE.x && h < RESULT.x && w < RESULT.y {
        let first = block * C;
        let count = (RESULT.y - w + PHASES.y - 1u) / PHASES.y;
        let to = (((n * GROUPS + group) * OUT + first) * RESULT.x + h) * RESULT.y + w;
        store(0u, first, to, count);
        store(1u, first, to, count);
        store(2u, first, to, count);
        store(3u, first, to, count);
        store(4u, first, to, count);
        store(5u, first, to, count);
        store(6u, first, to, count);
        store(7u, first, to, count);
        store(8u, first, to, count);
        store(9u, first, to, count);
        store(10u, first, to, count);
        store(11u, first, to, count);
        store(12u, first, to, count);
        store(13u, first, to, count);
        store(14u, first, to, count);
        store(15u, first, to, count);
        if C > 16u {
            store(16u, first, to, count);
            store(17u, first, to, count);
            store(18u, first, to, count);
            store(19u, first, to, count);
            store(20u, first, to, count);
            store(21u, first, to, count);
            store(22u, first, to, count);
            store(23u, first, to, count);
            store(24u, first, to, count);
            store(25u, first, to, count);
            store(26u, first, to, count);
            store(27u, first, to, count);
            store(28u, first, to, count);
            store(29u, first, to, count);
            store(30u, first, to, count);
            store(31u, first, to, count);
        }
    }
}
