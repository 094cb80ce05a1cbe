// Tests by bits; the includer includes "pack".

const LOWEST: f32 = -3.4028234e38;

// A NaN; `seed` keeps it from being a constant, which WGSL forbids.
fn not_a_number(seed: u32) -> f32 {
    return bitcast<f32>(0x7fc00000u | (seed & 1u));
}

// For the largest over a row: NaN of either sign gives more than INFINITE_KEY, a number no more.
fn nan_key(v: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(v) << vec4<u32>(1u);
}

const INFINITE_KEY: u32 = 0xff000000u;

fn has_nan(key: vec4<u32>) -> bool {
    return any(key > vec4<u32>(INFINITE_KEY));
}

// A row without softmax: its largest element (which skipped NaN) is +inf, or -inf is all there is.
fn undefined_row(largest: f32) -> bool {
    return bitcast<u32>(largest) == 0x7f800000u || largest <= LOWEST;
}
