// The operands and the result of matmul/subgroup.wgsl for a 1x1 convolution, forward or backward-data (x and y are dy
// and dx there), as one matrix product over the whole batch:
//
//   forward         y[n,co,p]          = sum over ci of w[co,ci] * x[n,ci,across(p)]
//   backward-data  dx[n,ci,across(p)]  = sum over co of w[co,ci] * dy[n,co,p], zero where no p leads
//
// p counts the pixels of y; across(p) is the pixel of x that a stride leads to.
// Rows of the product are the channels that are written, k those that are read, columns quads of p: QUADS of each image,
// one image behind the other.
// Grid: tiles of 32 channels x 32 pixels, channels fastest, in one line folded into x and y.
// Bindings: 0 x, 1 packed weights (pack.wgsl, blocks of 32), 2 y. The batch size follows from the length of y.
// Constants: those of a convolution; IN (a multiple of 4) and OUT channels, DATA, STRIDE (at most 4).

#include "quads"

#input weight 1 vec4<f32>

const TRANSPOSE_A: bool = true;                     // packed weights are [k][channel]
const BATCH: u32 = 1u;
const PIXELS: u32 = HO * WO;
const QUADS: u32 = (PIXELS + 3u) / 4u;
const TILES_M: u32 = (OUT + 31u) / 32u;
const READ: u32 = select(H * W, PIXELS, DATA);      // pixels of a plane that is read
const WRITTEN: u32 = select(PIXELS, H * W, DATA);   // and of one that is written

fn tile_of(wg: vec3<u32>, groups: vec3<u32>) -> vec3<u32> {
    let tile = wg.x + wg.y * groups.x;
    return vec3<u32>(tile % TILES_M, tile / TILES_M, 0u);
}

fn steps(matrix: u32, matrices: u32) -> vec2<u32> { return vec2<u32>(0u, IN); }

fn block_a(matrix: u32, row: u32, spread: u32, k: u32) -> mat4x4<f32> {
    let at = (row / 32u * IN + k) * 8u + row % 32u / 4u;
    return transpose(mat4x4<f32>(weight(at), weight(at + 8u), weight(at + 16u), weight(at + 24u)));
}

// (image, first pixel) of a column.
fn place_of(column: u32) -> vec2<u32> {
    let quad = column / 4u;
    return vec2<u32>(quad / QUADS, quad % QUADS * 4u);
}

fn across(p: u32) -> u32 { return (p / WO * W + p % WO) * STRIDE; }

// Pixels p..p+3 of the plane that begins at `plane`.
fn pixels(plane: u32, p: u32) -> vec4<f32> {
    if DATA || STRIDE == 1u { return quad(plane + p); }
    return vec4<f32>(pixel(plane + across(p)), pixel(plane + across(p + 1u)),
                     pixel(plane + across(p + 2u)), pixel(plane + across(p + 3u)));
}

fn block_b(matrix: u32, column: u32, k: u32) -> mat4x4<f32> {
    let place = place_of(column);
    let plane = (place.x * IN + k) * READ;
    return mat4x4<f32>(pixels(plane, place.y), pixels(plane + READ, place.y),
                       pixels(plane + 2u * READ, place.y), pixels(plane + 3u * READ, place.y));
}

fn bias_at(column: u32) -> vec4<f32> { return vec4<f32>(); }

// dx at across(p), and zeros beside and under it up to the next.
fn store_across(plane: u32, p: u32, v: f32) {
    if p >= PIXELS { return; }
    let h = p / WO * STRIDE;
    let w = p % WO * STRIDE;
    for (var r = 0u; r < min(STRIDE, H - h); r++) {
        store_quad(plane + (h + r) * W + w, vec4<f32>(select(0.0, v, r == 0u), 0.0, 0.0, 0.0), min(STRIDE, W - w));
    }
}

fn store_row(matrix: u32, row: u32, column: u32, v: vec4<f32>) {
    let place = place_of(column);
    let plane = (place.x * OUT + row) * WRITTEN;
    if row >= OUT || plane >= result_length() { return; }
    if DATA && STRIDE > 1u {
        store_across(plane, place.y, v.x);
        store_across(plane, place.y + 1u, v.y);
        store_across(plane, place.y + 2u, v.z);
        store_across(plane, place.y + 3u, v.w);
    } else {
        store_quad(plane + place.y, v, PIXELS - place.y);
    }
}
