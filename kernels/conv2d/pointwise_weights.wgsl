// The operands and the result of matmul/subgroup.wgsl for backward-weights of a 1x1 convolution:
//
//   dw[co,ci] = sum over n,p of dy[n,co,p] * x[n,ci,across(p)]
//
// p counts the pixels of y; across(p) is the pixel of x that a stride leads to.
//
// Rows of the product are output channels, columns input channels, k the pixels of all images, QUADS quads of each, of
// which a workgroup takes a share.
// Grid: x, y: tiles of 32 x 32 channels, input channels fastest, folded; z shares.
// Bindings: 0 x, 1 dy, 2 partial[share][co][ci] (summed by sum_partials.wgsl), or dw if there is one share.
// The batch size follows from the length of x. Constants: those of a convolution
// (CI a multiple of 4), STRIDE.

#include "operands"

@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

const TRANSPOSE_A: bool = false;
const BATCH: u32 = 0xffffffffu;                     // as many shares as there are
const PIXELS: u32 = HO * WO;
const QUADS: u32 = (PIXELS + 3u) / 4u;
const TILES_N: u32 = (CI + 31u) / 32u;

fn tile_of(wg: vec3<u32>, groups: vec3<u32>) -> vec3<u32> {
    let tile = wg.x + wg.y * groups.x;
    return vec3<u32>(tile / TILES_N, tile % TILES_N, wg.z);
}

// The range of k of a share.
fn steps(share: u32, shares: u32) -> vec2<u32> {
    let quads = x_words() / (CI * H * W) * QUADS;
    let size = (quads + shares - 1u) / shares;
    return min(vec2<u32>(share, share + 1u) * size, vec2<u32>(quads)) * 4u;
}

// Zeros behind an image's last pixel.
fn masked(v: vec4<f32>, pixel: u32) -> vec4<f32> {
    if PIXELS % 4u == 0u { return v; }
    return select(vec4<f32>(), v, pixel + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(PIXELS));
}

fn block_a(share: u32, row: u32, spread: u32, k: u32) -> mat4x4<f32> {
    let pixel = k % (QUADS * 4u);
    let at = (k / (QUADS * 4u) * CO + row) * PIXELS + pixel;
    let step = spread * PIXELS;
    return mat4x4<f32>(masked(dy_quad(at), pixel), masked(dy_quad(at + step), pixel),
                       masked(dy_quad(at + 2u * step), pixel), masked(dy_quad(at + 3u * step), pixel));
}

fn across(p: u32) -> u32 { return (p / WO * W + p % WO) * STRIDE; }

// Pixels p..p+3 of the plane of x that begins at `plane`.
fn pixels(plane: u32, p: u32) -> vec4<f32> {
    if STRIDE == 1u { return masked(x_quad(plane + p), p); }
    return masked(vec4<f32>(x_pixel(plane + across(p)), x_pixel(plane + across(p + 1u)),
                            x_pixel(plane + across(p + 2u)), x_pixel(plane + across(p + 3u))), p);
}

fn block_b(share: u32, column: u32, k: u32) -> mat4x4<f32> {
    let pixel = k % (QUADS * 4u);
    let plane = (k / (QUADS * 4u) * CI + column) * (H * W);
    return transpose(mat4x4<f32>(pixels(plane, pixel), pixels(plane + H * W, pixel),
                                 pixels(plane + 2u * H * W, pixel), pixels(plane + 3u * H * W, pixel)));
}

fn bias_at(column: u32) -> vec4<f32> { return vec4<f32>(); }

fn store_row(share: u32, row: u32, column: u32, v: vec4<f32>) {
    if row < CO && column < CI { result[((share * CO + row) * CI + column) / 4u] = v; }
}
