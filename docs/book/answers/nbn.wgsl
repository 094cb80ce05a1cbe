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

// dv of one entry; `square` = v.v, `dot` = v.u. At v = 0 the projection is absent.
fn projected(v: f32, u: f32, square: f32, dot: f32) -> f32 {
    let n = sqrt(square);
    if n == 0.0 {
        return alpha[0] / EPS * u;
    }
    return alpha[0] / (n + EPS) * (u - dot / n * (v / (n + EPS)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
    var dots = vec4<f32>(); // gamma.gamma, beta.beta, gamma.u_w, beta.u_b
    for (var c = thread; c < C; c += WORKGROUP) {
        let v = vec2<f32>(gamma[c], beta[c]);
        dots += vec4<f32>(v * v, v * vec2<f32>(u_w[c], u_b[c]));
    }
    dots = workgroup_sum(dots, thread);
    for (var c = thread; c < C; c += WORKGROUP) {
        dgamma[c] = projected(gamma[c], u_w[c], dots.x, dots.z);
        dbeta[c] = projected(beta[c], u_b[c], dots.y, dots.w);
    }
    if thread == 0u {
        let shares = dots.zw / (sqrt(dots.xy) + EPS);
        dalpha[0] = shares.x + shares.y;
    }
}
