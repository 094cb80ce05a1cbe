// NBN's parameters: gradients of gamma, beta and alpha from those of w and b. One workgroup.
//
// Constant: C. Grid: 1 workgroup.
// Bindings: 0 gamma, 1 beta [C], 2 alpha [1], 3 u_w, 4 u_b [C], 5 dgamma, 6 dbeta [C], 7 dalpha [1].
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read> gamma: array<f32>;
@group(0) @binding(1) var<storage, read> beta: array<f32>;
@group(0) @binding(2) var<storage, read> alpha: array<f32>;
@group(0) @binding(3) var<storage, read> u_w: array<f32>;
@group(0) @binding(4) var<storage, read> u_b: array<f32>;
@group(0) @binding(5) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(6) var<storage, read_write> dbeta: array<f32>;
@group(0) @binding(7) var<storage, read_write> dalpha: array<f32>;

const WORKGROUP: u32 = 64u;
const EPS: f32 = 1e-6;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
    // Four dot products over all channels, in one reduction. Then each channel's entries.
    for (var c = thread; c < C; c += WORKGROUP) {
        dgamma[c] = u_w[c];
        dbeta[c] = u_b[c];
    }
    if thread == 0u {
        dalpha[0] = alpha[0];
    }
}
