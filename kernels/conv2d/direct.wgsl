// Convolution by its definition: any kernel size, stride, padding, dilation and groups.
//
//   forward           y[n,co,oh,ow]  = sum over ci,kh,kw of x[n,ci,ih,iw] * w[co,ci,kh,kw]
//                     with ih = oh*SH - PH + kh*DH and iw = ow*SW - PW + kw*DW inside the image
//   backward_data     dx[n,ci,ih,iw] = sum over co,kh,kw of dy[n,co,oh,ow] * w[co,ci,kh,kw]
//                     over the (oh,ow) for which the relation above holds
//   backward_weights  dw[co,ci,kh,kw] = sum over n,oh,ow of dy[n,co,oh,ow] * x[n,ci,ih,iw]
//
// Mapping: an invocation computes one position (a pixel, or a tap) for BLOCK neighbouring channels
// of one group, so that each value it loads serves BLOCK multiply-adds.
// Grid: invocations in one line folded into x and y; backward_weights has in z the parts into which
// the batch is cut: part z writes its own sum to partial[z], sum_partials.wgsl adds them up.
// Bindings: 0 and 1 the operands, 2 the result (of all parts).
// The batch size is not baked: it follows from the length of binding 0.

const BLOCK: u32 = 4u;
const GI: u32 = CI / GROUPS;                        // input channels of a group
const GO: u32 = CO / GROUPS;                        // output channels of a group
const TAPS: u32 = KH * KW;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

fn index(wg: vec3<u32>, grid: vec3<u32>, lane: u32) -> u32 {
    return (wg.x + wg.y * grid.x) * 64u + lane;
}

// The coordinate of an output position and a tap in the input; as u32, outside wraps to a large value.
fn input_row(oh: u32, kh: u32) -> u32 { return oh * SH + kh * DH - PH; }
fn input_column(ow: u32, kw: u32) -> u32 { return ow * SW + kw * DW - PW; }

// ANCHOR: forward
@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_index) lane: u32) {
    const BLOCKS = (GO + BLOCK - 1u) / BLOCK;
    let i = index(wg, grid, lane);
    let ow = i % WO;
    let oh = i / WO % HO;
    let block = i / (WO * HO) % BLOCKS;
    let group = i / (WO * HO * BLOCKS) % GROUPS;
    let n = i / (WO * HO * BLOCKS * GROUPS);
    if n >= arrayLength(&a) / (CI * H * W) { return; }

    // A block past the group's end repeats its last channel; what it computes there is not stored.
    let first = group * GO + block * BLOCK;
    let last = group * GO + GO - 1u;
    let row = vec4<u32>(first, min(first + 1u, last), min(first + 2u, last), min(first + 3u, last))
        * (GI * TAPS);
    var sum = vec4<f32>();
    for (var ci = 0u; ci < GI; ci++) {
        let plane = (n * CI + group * GI + ci) * H;
        for (var kh = 0u; kh < KH; kh++) {
            let ih = input_row(oh, kh);
            if ih >= H { continue; }
            for (var kw = 0u; kw < KW; kw++) {
                let iw = input_column(ow, kw);
                if iw >= W { continue; }
                let k = row + ci * TAPS + kh * KW + kw;
                sum += a[(plane + ih) * W + iw] * vec4<f32>(b[k.x], b[k.y], b[k.z], b[k.w]);
            }
        }
    }
    let at = ((n * CO + first) * HO + oh) * WO + ow;
    for (var c = 0u; c < BLOCK; c++) {
        if first + c <= last { result[at + c * (HO * WO)] = sum[c]; }
    }
}
// ANCHOR_END: forward

@compute @workgroup_size(64)
fn backward_data(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    const BLOCKS = (GI + BLOCK - 1u) / BLOCK;
    let i = index(wg, grid, lane);
    // Remainders by subtraction: what is divided behind one by a power of two, FXC gets wrong.
    let row = i / W;
    let iw = i - row * W;
    let ih = row - row / H * H;
    let block = i / (W * H) % BLOCKS;
    let group = i / (W * H * BLOCKS) % GROUPS;
    let n = i / (W * H * BLOCKS * GROUPS);
    if n >= arrayLength(&a) / (CO * HO * WO) { return; }

    let first = block * BLOCK;                      // within the group
    let last = GI - 1u;
    let column = vec4<u32>(first, min(first + 1u, last), min(first + 2u, last), min(first + 3u, last))
        * TAPS;
    var sum = vec4<f32>();
    for (var kh = 0u; kh < KH; kh++) {
        let oh = (ih + PH - kh * DH) / SH;          // exact only where input_row(oh, kh) == ih
        if oh >= HO || input_row(oh, kh) != ih { continue; }
        for (var kw = 0u; kw < KW; kw++) {
            let ow = (iw + PW - kw * DW) / SW;
            if ow >= WO || input_column(ow, kw) != iw { continue; }
            for (var c = 0u; c < GO; c++) {
                let co = group * GO + c;
                let k = column + co * (GI * TAPS) + kh * KW + kw;
                sum += a[((n * CO + co) * HO + oh) * WO + ow]
                    * vec4<f32>(b[k.x], b[k.y], b[k.z], b[k.w]);
            }
        }
    }
    let at = ((n * CI + group * GI + first) * H + ih) * W + iw;
    for (var c = 0u; c < BLOCK; c++) {
        if first + c <= last { result[at + c * (H * W)] = sum[c]; }
    }
}

@compute @workgroup_size(64)
fn backward_weights(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                    @builtin(local_invocation_index) lane: u32) {
    const BLOCKS = (GO + BLOCK - 1u) / BLOCK;
    const K = GI * TAPS;
    let i = index(wg, grid, lane);
    let k = i % K;                                  // (ci, kh, kw)
    let block = i / K % BLOCKS;
    let group = i / (K * BLOCKS);
    if group >= GROUPS { return; }

    let first = group * GO + block * BLOCK;
    let last = group * GO + GO - 1u;
    let channel = vec4<u32>(first, min(first + 1u, last), min(first + 2u, last), min(first + 3u, last));
    let ci = group * GI + k / TAPS;
    let kh = k / KW % KH;
    let kw = k % KW;
    let batch = arrayLength(&a) / (CI * H * W);
    let part = (batch + grid.z - 1u) / grid.z;
    let end = min((wg.z + 1u) * part, batch);
    var sum = vec4<f32>();
    for (var n = wg.z * part; n < end; n++) {
        for (var oh = 0u; oh < HO; oh++) {
            let ih = input_row(oh, kh);
            if ih >= H { continue; }
            for (var ow = 0u; ow < WO; ow++) {
                let iw = input_column(ow, kw);
                if iw >= W { continue; }
                let at = ((n * CO + channel) * HO + oh) * WO + ow;
                sum += a[((n * CI + ci) * H + ih) * W + iw]
                    * vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
            }
        }
    }
    for (var c = 0u; c < BLOCK; c++) {
        if first + c <= last { result[(wg.z * CO + first + c) * K + k] = sum[c]; }
    }
}
