// Tests by bits; the includer includes "pack".

const LOWEST: f32 = -3.4028234e38;

// A NaN; `seed` keeps it from being a constant, which WGSL forbids.
fn not_a_number(seed: u32) -> f32 {
    return bitcast<f32>(0x7fc00000u | (seed & 1u));
}

// Some component is NaN (bits without the sign above those of inf) or +inf.
fn too_large(v: vec4<f32>) -> bool {
    let bits = bitcast<vec4<u32>>(v);
    let nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return any(nan | (bits == vec4<u32>(0x7f800000u)));
}
