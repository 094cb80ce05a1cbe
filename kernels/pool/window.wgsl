// Geometry of a pooling window. Constants: H, W the input's plane; OH, OW the output's; KH, KW the
// kernel; SH, SW the stride; PH, PW the padding (less than the kernel).

// a % b, by subtraction: Microsoft's FXC takes (a % 4 + 2 - min(a % 4 + 2, 2)) / 2 for two bits instead of one.
fn remainder(a: u32, b: u32) -> u32 {
    return a - a / b * b;
}

// First window that covers input coordinate i (already shifted by the padding) along one axis.
fn first_window(i: u32, kernel: u32, stride: u32) -> u32 {
    return (i + stride - min(i + stride, kernel)) / stride;
}

// One past the last such window.
fn end_window(i: u32, stride: u32, windows: u32) -> u32 {
    return min(i / stride + 1u, windows);
}
