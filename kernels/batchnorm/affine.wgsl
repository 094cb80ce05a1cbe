// The layer's weight w and bias b from its parameters.
//   AFFINE 0  none:        w = 1, b = 0
//   AFFINE 1  plain:       w = gamma, b = beta
//   AFFINE 2  normalized:  w = alpha gamma / (|gamma| + NORM_EPS), b = alpha beta / (|beta| + NORM_EPS)
// The includer declares gamma, beta and alpha (array<f32>; alpha's entry 0 counts), CHANNELS and
// includes reduce.wgsl. The norms are over all channels; every workgroup computes them for itself,
// which costs less than a launch of its own.

// Sums over all channels: (gamma.gamma, beta.beta). Uniform control flow.
fn squared_norms(lid: u32) -> vec2<f32> {
    var squares = vec4<f32>();
    for (var c = lid; c < CHANNELS; c += WORKGROUP) {
        squares.x += gamma[c] * gamma[c];
        squares.y += beta[c] * beta[c];
    }
    return workgroup_sum(squares, lid).xy;
}

// What gamma and beta are multiplied by. Uniform control flow.
fn affine_factors(lid: u32) -> vec2<f32> {
    if AFFINE != 2u {
        return vec2<f32>(1.0);
    }
    return alpha[0] / (sqrt(squared_norms(lid)) + NORM_EPS);
}

// (w, b) of a channel.
fn affine_of(channel: u32, factors: vec2<f32>) -> vec2<f32> {
    if AFFINE == 0u {
        return vec2<f32>(1.0, 0.0);
    }
    return factors * vec2<f32>(gamma[channel], beta[channel]);
}
