// Floats to halves and back by whole numbers: pack2x16float needs a feature that some devices lack.

// The bits of the half nearest to v, to even of two, at most 65504; of NaN any.
fn half_bits(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    let size = min(bits & 0x7fffffffu, 0x477fe000u);
    // From 2^-14 on 13 bits of the fraction go, and 112 of the exponent. Below, halves are 2^-24 apart, as floats are
    // from 1/2 on.
    let normal = (size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u;
    let small = bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u;
    return select(small, normal, size >= 0x38800000u) | ((bits >> 16u) & 0x8000u);
}

// The float of a half's bits, the lower 16 of h.
fn half_value(h: u32) -> f32 {
    let size = h & 0x7fffu;
    let normal = bitcast<f32>((size << 13u) + 0x38000000u);
    let value = select(f32(size) * 0x1p-24f, normal, size >= 0x400u);
    return select(value, -value, (h & 0x8000u) != 0u);
}
