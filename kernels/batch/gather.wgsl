// x[i, c, y, x] = (byte / 255 - mean[c]) / std[c] and label[i], for the sample order[first + i]; with
// AUGMENT the image is padded by PAD with black, cropped back to its size at a random offset and, with
// FLIP, mirrored with probability 1/2. A sample whose index lies outside this chunk is left to the
// launch of its own chunk. CUTOUT > 0 blackens a square of that side around a pixel drawn evenly, clipped
// at the border (DeVries and Taylor, 2017).
//
// Random words: philox(key = seed, counter = (position, epoch, STREAM, 2 DRAW)): .x the row offset, .y the
// column offset, .z the flip, so they depend on the position in the epoch and not on the batch; the square's
// centre from counter 2 DRAW + 1. DRAW tells two batches at the same positions apart.
//
// Mapping: a workgroup of 64 threads per sample, each thread walking every 64th pixel of the planes.
// Grid: samples in x. Bindings: 0 the chunk's images (words of four bytes, STRIDE words an image),
// 1 labels of the whole set, 2 order, 3 step, 4 x, 5 label.
// Constants: C, H, W, STRIDE, FIRST_IMAGE, IMAGES, ORDER_LEN, PAD, FLIP, AUGMENT, CUTOUT, DRAW, and per channel
// MEAN0..2, STD0..2.
#include "step.wgsl"
#include "philox.wgsl"

const STREAM: u32 = 1u;
const PLANE: u32 = H * W;

@group(0) @binding(0) var<storage, read> images: array<u32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<uniform> step: Step;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
@group(0) @binding(5) var<storage, read_write> label: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = wg.x;
    let position = min(step.first + i, ORDER_LEN - 1u);
    let sample = order[position];
    let image = sample - FIRST_IMAGE; // wraps below FIRST_IMAGE
    if (image >= IMAGES) {
        return;
    }
    if (thread == 0u) {
        label[i] = labels[sample];
    }
    var row_shift = 0u;
    var column_shift = 0u;
    var mirrored = false;
    if (AUGMENT) {
        let random = philox(vec4<u32>(position, step.epoch, STREAM, 2u * DRAW), step.seed);
        row_shift = random_below(random.x, 2u * PAD + 1u) - PAD; // wraps below 0
        column_shift = random_below(random.y, 2u * PAD + 1u) - PAD;
        mirrored = FLIP && random.z >= 0x80000000u;
    }
    var cut_row = 0u;
    var cut_column = 0u;
    if (CUTOUT > 0u) {
        let random = philox(vec4<u32>(position, step.epoch, STREAM, 2u * DRAW + 1u), step.seed);
        // Rows cut_row .. cut_row + CUTOUT - 1 around the centre; wraps above the border.
        cut_row = random_below(random.x, H) - CUTOUT / 2u;
        cut_column = random_below(random.y, W) - CUTOUT / 2u;
    }
    for (var pixel = thread; pixel < PLANE; pixel += 64u) {
        let row = pixel / W;
        let column = pixel - row * W;
        let from_row = row + row_shift;
        let from_column = select(column, W - 1u - column, mirrored) + column_shift;
        let cut = row - cut_row < CUTOUT && column - cut_column < CUTOUT;
        let inside = from_row < H && from_column < W && !cut;
        let from_pixel = select(0u, from_row * W + from_column, inside);
        for (var c = 0u; c < C; c++) {
            let at = c * PLANE + from_pixel;
            let byte = (images[image * STRIDE + at / 4u] >> (at % 4u * 8u)) & 255u;
            let mean = select(select(MEAN2, MEAN1, c == 1u), MEAN0, c == 0u);
            let deviation = select(select(STD2, STD1, c == 1u), STD0, c == 0u);
            x[(i * C + c) * PLANE + pixel] = (f32(select(0u, byte, inside)) / 255.0 - mean) / deviation;
        }
    }
}
