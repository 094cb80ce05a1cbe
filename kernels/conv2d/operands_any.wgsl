// The operands of backward-weights in quads of a row, for any width.
// Offsets are in elements; a quad at a row's end may read past it, and the caller masks that.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

fn x_words() -> u32 { return arrayLength(&x); }
fn x_quad(at: u32) -> vec4<f32> {
    let last = arrayLength(&x) - 1u;
    return vec4<f32>(x[min(at, last)], x[min(at + 1u, last)], x[min(at + 2u, last)], x[min(at + 3u, last)]);
}
fn x_pixel(at: u32) -> f32 { return x[at]; }
fn dy_quad(at: u32) -> vec4<f32> {
    let last = arrayLength(&dy) - 1u;
    return vec4<f32>(dy[min(at, last)], dy[min(at + 1u, last)], dy[min(at + 2u, last)], dy[min(at + 3u, last)]);
}
