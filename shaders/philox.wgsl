// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; 2011), the
// counter-based generator of Random123: philox(counter, key) is four random words that depend on
// nothing else, so a draw never depends on batch size or order. Ten rounds of
//   (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)),
//   (k0, k1) <- (k0 + W0, k1 + W1).

// Upper 32 bits of a * b by 16-bit halves.
fn mul_hi(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let mid = a1 * b0 + (low >> 16u);
    let mid2 = a0 * b1 + (mid & 0xffffu);
    return a1 * b1 + (mid >> 16u) + (mid2 >> 16u);
}

fn philox_round(c: vec4<u32>, k: vec2<u32>) -> vec4<u32> {
    const M0: u32 = 0xd2511f53u;
    const M1: u32 = 0xcd9e8d57u;
    return vec4<u32>(mul_hi(M1, c.z) ^ c.y ^ k.x, M1 * c.z, mul_hi(M0, c.x) ^ c.w ^ k.y, M0 * c.x);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    const W: vec2<u32> = vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    var c = philox_round(counter, key);
    c = philox_round(c, key + W);
    c = philox_round(c, key + 2u * W);
    c = philox_round(c, key + 3u * W);
    c = philox_round(c, key + 4u * W);
    c = philox_round(c, key + 5u * W);
    c = philox_round(c, key + 6u * W);
    c = philox_round(c, key + 7u * W);
    c = philox_round(c, key + 8u * W);
    return philox_round(c, key + 9u * W);
}

// A random word as a float in [0, 1), a multiple of 2^-24.
fn random_unit(word: u32) -> f32 {
    return f32(word >> 8u) * 0x1p-24;
}

// A random word as an integer in 0 .. limit - 1 (bias below limit / 2^32).
fn random_below(word: u32, limit: u32) -> u32 {
    return mul_hi(word, limit);
}
