// Backward, between the passes: parameter gradients and the coefficients of the second pass.
//
//   u = (sum g xhat, sum g) per channel: the gradients of w and b.
//   plain:       dgamma = u_w, dbeta = u_b
//   normalized:  for (v, u) = (gamma, u_w) and (beta, u_b), n = |v|, r = n + NORM_EPS
//                dv = alpha/r (u - (v.u) v / (n r)), and (alpha/NORM_EPS) u where n = 0:
//                the zero bias of a fresh layer gets a gradient a million times u
//                dalpha[0] = (gamma.u_w)/r_gamma + (beta.u_b)/r_beta; the other entries are 0
//   coefficient = (mean, w invstd, sum g, invstd sum g xhat); the sums are 0 with EVAL, where the
//                 statistics are constants.
//
// COMBINE adds up a channel's partials into its first one; PROJECT does the rest. With normalized
// affine the dot products need every channel's u: one workgroup does both, or two launches one each, the
// second a single workgroup, which computes them once for all channels.
// Workgroup: WORKGROUP / SPLIT channels at a time, as finalize.wgsl. Grid (CHANNELS / (WORKGROUP / SPLIT))
// or less.
// Bindings: 0 scratch (backward_sums.wgsl), 1 gamma, 2 beta, 3 alpha, 4 dgamma, 5 dbeta, 6 dalpha.
//           Without affine only 0 is touched.
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read_write> scratch: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> alpha: array<f32>;
@group(0) @binding(4) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(5) var<storage, read_write> dbeta: array<f32>;
@group(0) @binding(6) var<storage, read_write> dalpha: array<f32>;

const OWNED: u32 = WORKGROUP / SPLIT; // channels of a workgroup

// Adds up the channel's partials; the total replaces the first.
fn combine(channel: u32, lid: u32) {
    let chunks = arrayLength(&scratch) / CHANNELS - 1u;
    var total = vec2<f32>();
    if channel < CHANNELS {
        for (var chunk = lid / OWNED; chunk < chunks; chunk += SPLIT) {
            total += scratch[(1u + chunk) * CHANNELS + channel].xy;
        }
    }
    if SPLIT > 1u {
        reduction[lid] = vec4<f32>(total, 0.0, 0.0);
        workgroupBarrier();
        total = vec2<f32>();
        for (var s = 0u; s < SPLIT; s++) {
            total += reduction[s * OWNED + lid % OWNED].xy;
        }
    }
    if channel < CHANNELS && lid < OWNED {
        let first = scratch[CHANNELS + channel];
        scratch[CHANNELS + channel] = vec4<f32>(total, first.zw);
    }
}

// dv of one entry; `square` = v.v, `dot` = v.u.
fn projected(v: f32, u: f32, square: f32, dot: f32) -> f32 {
    let n = sqrt(square);
    let r = n + NORM_EPS;
    if n == 0.0 {
        return alpha[0] / NORM_EPS * u;
    }
    return alpha[0] / r * (u - dot / n * (v / r));
}

// Gradients of a channel's parameters, and its coefficients.
fn project(channel: u32, dots: vec4<f32>) {
    let sums = scratch[CHANNELS + channel]; // u_b, u_w, mean, invstd
    var w = 1.0;
    if AFFINE == 1u {
        w = gamma[channel];
        dgamma[channel] = sums.y;
        dbeta[channel] = sums.x;
    }
    if AFFINE == 2u {
        w = alpha[0] / (sqrt(dots.x) + NORM_EPS) * gamma[channel];
        dgamma[channel] = projected(gamma[channel], sums.y, dots.x, dots.z);
        dbeta[channel] = projected(beta[channel], sums.x, dots.y, dots.w);
    }
    var through = vec2<f32>(sums.x, sums.y * sums.w);
    if EVAL {
        through = vec2<f32>();
    }
    scratch[channel] = vec4<f32>(sums.z, w * sums.w, through);
}

@compute @workgroup_size(WORKGROUP)
fn finalize(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let channel = wg.x * OWNED + lid % OWNED;
    if COMBINE {
        combine(channel, lid);
        storageBarrier();
    }
    if !PROJECT {
        return;
    }
    var dots = vec4<f32>(); // gamma.gamma, beta.beta, gamma.u_w, beta.u_b
    if AFFINE == 2u {
        for (var c = lid; c < CHANNELS; c += WORKGROUP) {
            let v = vec2<f32>(gamma[c], beta[c]);
            dots += vec4<f32>(v * v, v * scratch[CHANNELS + c].yx);
        }
        dots = workgroup_sum(dots, lid);
        let parts = dots.zw / (sqrt(dots.xy) + NORM_EPS);
        if wg.x == 0u {
            for (var i = lid; i < ALPHA_LEN; i += WORKGROUP) {
                dalpha[i] = select(0.0, parts.x + parts.y, i == 0u);
            }
        }
    }
    if lid < OWNED {
        for (var c = channel; c < CHANNELS; c += grid.x * OWNED) {
            project(c, dots);
        }
    }
}
