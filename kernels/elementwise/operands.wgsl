// Where the packs of a binary op's operands lie for pack `index` of the result (strided.wgsl), in
// units of their own packs. Constants: A_PLAIN and B_PLAIN (contiguous as the result), else strides
// A0..A5 and B0..B5, innermost first.
#include "strided"
#include "splat"

fn offset_a(index: u32, at: Coordinates) -> u32 {
    if (A_PLAIN) {
        return index;
    }
    return at[0] * A0 + at[1] * A1 + at[2] * A2 + at[3] * A3 + at[4] * A4 + at[5] * A5;
}

fn offset_b(index: u32, at: Coordinates) -> u32 {
    if (B_PLAIN) {
        return index;
    }
    return at[0] * B0 + at[1] * B1 + at[2] * B2 + at[3] * B3 + at[4] * B4 + at[5] * B5;
}
