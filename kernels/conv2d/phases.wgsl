// Forward and backward-data as one gather. Backward-data is cut into phases: the pixels
// h = i*SH+ph, w = j*SW+pw of one phase (ph,pw) are all reached by the same taps, those kh with
// (ph+PH-kh*DH) divisible by SH, from row i + (ph+PH-kh*DH)/SH of dy; likewise kw. So no tap is
// computed in vain. Forward has one phase and uses every tap.
//
// IMAGE is what is gathered from, RESULT what is written, LATTICE the positions (i,j) of a phase.

const IN: u32 = select(CI, CO, DATA) / GROUPS;      // channels of a group, gathered
const OUT: u32 = select(CO, CI, DATA) / GROUPS;     // channels of a group, written
const TAPS: u32 = KH * KW;
const IMAGE: vec2<u32> = vec2<u32>(select(H, HO, DATA), select(W, WO, DATA));
const RESULT: vec2<u32> = vec2<u32>(select(HO, H, DATA), select(WO, W, DATA));
const PHASES: vec2<u32> = vec2<u32>(select(1u, SH, DATA), select(1u, SW, DATA));
const LATTICE: vec2<u32> = (RESULT + PHASES - 1u) / PHASES;
const PIXEL_STEP: vec2<u32> = vec2<u32>(select(SH, 1u, DATA), select(SW, 1u, DATA));

// What tap k adds to a position's coordinate i * PIXEL_STEP; wraps below zero.
fn tap_offset(phase: u32, k: u32, stride: u32, pad: u32, dilation: u32) -> u32 {
    if DATA { return bitcast<u32>((i32(phase + pad) - i32(k * dilation)) / i32(stride)); }
    return k * dilation - pad;
}

// The first tap that reaches a phase, or `taps` where none does. The others follow in steps of
// stride / gcd(stride, dilation), which Rust gives as TAP_STEP_H and TAP_STEP_W (1 for forward).
fn first_tap(phase: u32, stride: u32, pad: u32, dilation: u32, taps: u32, step: u32) -> u32 {
    if !DATA { return 0u; }
    var first = taps;
    for (var k = 0u; k < min(step, taps); k++) {
        if (phase + pad + k * (stride - 1u) * dilation) % stride == 0u { first = min(first, k); }
    }
    return first;
}
