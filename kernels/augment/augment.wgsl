// One pass of an augmentation policy (AutoAugment, RandAugment, rotation, colour jitter) over a batch of
// normalized images: each sample draws an operation and its amount, and is changed as bytes, as PyTorch's
// torchvision changes uint8 images (nearest pixel, black outside).
//
// policy[row * PASSES + pass] = (operation, probability, low, high): with its probability the operation is
// applied, its amount drawn evenly from low .. high; SIGNED is added to operations whose amount has a random
// sign. One row serves all passes of a sample, or with INDEPENDENT each pass draws its own.
// In the last pass CUTOUT > 0 blackens a square, as kernels/batch/gather.wgsl does it.
//
// Random words: philox(key = seed, counter = (position, epoch, STREAM, 2 DRAW)): .x the row; with counter
// (position, epoch, STREAM + 1 + PASS, 2 DRAW): .x the row if INDEPENDENT, .y whether, .z the sign, .w the amount.
//
// Mapping: a workgroup of 64 threads per sample, each thread walking every 64th pixel.
// Grid: samples, folded into x and y. Bindings: 0 x, 1 policy, 2 step, 3 y.
// Constants: N, C, H, W, ROWS, PASSES, PASS, INDEPENDENT, CUTOUT, DRAW, MEAN0..2, STD0..2.
#include "step.wgsl"
#include "philox.wgsl"

const STREAM: u32 = 16u;
const BATCH_STREAM: u32 = 1u; // kernels/batch/gather.wgsl
const SIGNED: u32 = 16u;
const PLANE: u32 = H * W;

const SHEAR_X: u32 = 1u;
const SHEAR_Y: u32 = 2u;
const TRANSLATE_X: u32 = 3u;
const TRANSLATE_Y: u32 = 4u;
const ROTATE: u32 = 5u;
const BRIGHTNESS: u32 = 6u;
const COLOR: u32 = 7u;
const CONTRAST: u32 = 8u;
const SHARPNESS: u32 = 9u;
const POSTERIZE: u32 = 10u;
const SOLARIZE: u32 = 11u;
const AUTO_CONTRAST: u32 = 12u;
const EQUALIZE: u32 = 13u;
const INVERT: u32 = 14u;

#input x 0 f32
@group(0) @binding(1) var<storage, read> policy: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> step: Step;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> histogram: array<atomic<u32>, 768>;  // of each channel; then the map that equalizes it
var<workgroup> low: array<atomic<u32>, 3>;
var<workgroup> high: array<atomic<u32>, 3>;
var<workgroup> brightness: atomic<u32>;             // sum of the grey values

fn mean(c: u32) -> f32 {
    return select(select(MEAN2, MEAN1, c == 1u), MEAN0, c == 0u);
}

fn deviation(c: u32) -> f32 {
    return select(select(STD2, STD1, c == 1u), STD0, c == 0u);
}

// The byte of a pixel, 0 outside the image.
fn byte_at(image: u32, c: u32, row: i32, column: i32) -> f32 {
    let inside = row >= 0 && row < i32(H) && column >= 0 && column < i32(W);
    let at = select(0u, u32(row) * W + u32(column), inside);
    let value = round((x((image * C + c) * PLANE + at) * deviation(c) + mean(c)) * 255.0);
    return select(0.0, value, inside);
}

// The grey value of a pixel, rounded down.
fn grey_at(image: u32, row: i32, column: i32) -> f32 {
    if (C == 1u) {
        return byte_at(image, 0u, row, column);
    }
    let rgb = vec3<f32>(
        byte_at(image, 0u, row, column),
        byte_at(image, 1u, row, column),
        byte_at(image, 2u, row, column),
    );
    return floor(dot(rgb, vec3<f32>(0.2989, 0.587, 0.114)));
}

// factor a + (1 - factor) b as a byte, rounded down.
fn blend(a: f32, b: f32, factor: f32) -> f32 {
    return floor(clamp(factor * a + (1.0 - factor) * b, 0.0, 255.0));
}

// The mean of the 3 x 3 neighbourhood, its centre five times; the border is as it is.
fn blurred(image: u32, c: u32, row: i32, column: i32) -> f32 {
    let own = byte_at(image, c, row, column);
    if (row == 0 || column == 0 || row == i32(H) - 1 || column == i32(W) - 1) {
        return own;
    }
    var sum = 4.0 * own;
    for (var dr = -1; dr <= 1; dr++) {
        for (var dc = -1; dc <= 1; dc++) {
            sum += byte_at(image, c, row + dr, column + dc);
        }
    }
    return round(sum / 13.0);
}

// The source pixel (row, column) of a geometric operation; coordinates are of pixels' centres.
fn source(op: u32, amount: f32, row: u32, column: u32) -> vec2<i32> {
    let r = f32(row);
    let c = f32(column);
    var at = vec2<f32>(r, c);
    if (op == SHEAR_X) {
        at.y = c + amount * (r + 0.5);
    }
    if (op == SHEAR_Y) {
        at.x = r + amount * (c + 0.5);
    }
    if (op == TRANSLATE_X) {
        at.y = c - trunc(amount);
    }
    if (op == TRANSLATE_Y) {
        at.x = r - trunc(amount);
    }
    if (op == ROTATE) {
        let angle = radians(amount);
        let middle = vec2<f32>(f32(H) - 1.0, f32(W) - 1.0) / 2.0;
        let arm = at - middle;
        at = middle + vec2<f32>(
            sin(angle) * arm.y + cos(angle) * arm.x,
            cos(angle) * arm.y - sin(angle) * arm.x,
        );
    }
    return vec2<i32>(round(at));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let image = wg.x + wg.y * groups.x;
    let position = step.first + image;
    let once = philox(vec4<u32>(position, step.epoch, STREAM, 2u * DRAW), step.seed);
    let each = philox(vec4<u32>(position, step.epoch, STREAM + 1u + PASS, 2u * DRAW), step.seed);
    let row_of_policy = random_below(select(once.x, each.x, INDEPENDENT), ROWS);
    let entry = policy[row_of_policy * PASSES + PASS];
    let code = u32(entry.x);
    let applied = random_unit(each.y) < entry.y;
    let op = select(0u, code % SIGNED, applied);
    var amount = mix(entry.z, entry.w, random_unit(each.w));
    if (code >= SIGNED && each.z >= 0x80000000u) {
        amount = -amount;
    }

    // What an operation must know of the whole image.
    for (var i = thread; i < 768u; i += 64u) {
        atomicStore(&histogram[i], 0u);
    }
    if (thread < 3u) {
        atomicStore(&low[thread], 255u);
        atomicStore(&high[thread], 0u);
    }
    if (thread == 0u) {
        atomicStore(&brightness, 0u);
    }
    workgroupBarrier();
    if (image < N && (op == AUTO_CONTRAST || op == EQUALIZE)) {
        for (var i = thread; i < C * PLANE; i += 64u) {
            let c = i / PLANE;
            let pixel = i - c * PLANE;
            let value = u32(byte_at(image, c, i32(pixel / W), i32(pixel % W)));
            atomicAdd(&histogram[c * 256u + value], 1u);
            atomicMin(&low[c], value);
            atomicMax(&high[c], value);
        }
    }
    if (image < N && op == CONTRAST) {
        for (var pixel = thread; pixel < PLANE; pixel += 64u) {
            atomicAdd(&brightness, u32(grey_at(image, i32(pixel / W), i32(pixel % W))));
        }
    }
    workgroupBarrier();
    if (op == EQUALIZE && thread < C) {
        // map[v] = (number of bytes below v + half a step) / step, a step being a 255th of all but those of
        // the largest value; an image without steps stays as it is.
        let last = atomicLoad(&histogram[thread * 256u + atomicLoad(&high[thread])]);
        let size = (PLANE - last) / 255u;
        var below = 0u;
        for (var v = 0u; v < 256u; v++) {
            let count = atomicLoad(&histogram[thread * 256u + v]);
            let mapped = min((below + size / 2u) / max(size, 1u), 255u);
            atomicStore(&histogram[thread * 256u + v], select(mapped, v, size == 0u));
            below += count;
        }
        if (size != 0u) {
            atomicStore(&histogram[thread * 256u], 0u);
        }
    }
    workgroupBarrier();
    if (image >= N) {
        return;
    }

    var cut_row = 0u;
    var cut_column = 0u;
    if (CUTOUT > 0u) {
        let random = philox(vec4<u32>(position, step.epoch, BATCH_STREAM, 2u * DRAW + 1u), step.seed);
        cut_row = random_below(random.x, H) - CUTOUT / 2u;
        cut_column = random_below(random.y, W) - CUTOUT / 2u;
    }
    let average = f32(atomicLoad(&brightness)) / f32(PLANE);
    for (var pixel = thread; pixel < PLANE; pixel += 64u) {
        let row = pixel / W;
        let column = pixel - row * W;
        let at = source(op, amount, row, column);
        let cut = row - cut_row < CUTOUT && column - cut_column < CUTOUT;
        var grey = 0.0;
        if (op == COLOR) {
            grey = grey_at(image, i32(row), i32(column));
        }
        for (var c = 0u; c < C; c++) {
            var value = byte_at(image, c, at.x, at.y);
            if (op == BRIGHTNESS) {
                value = blend(value, 0.0, 1.0 + amount);
            }
            if (op == COLOR && C == 3u) {
                value = blend(value, grey, 1.0 + amount);
            }
            if (op == CONTRAST) {
                value = blend(value, average, 1.0 + amount);
            }
            if (op == SHARPNESS) {
                value = blend(value, blurred(image, c, i32(row), i32(column)), 1.0 + amount);
            }
            if (op == POSTERIZE) {
                let unit = exp2(8.0 - floor(amount));
                value = floor(value / unit) * unit;
            }
            if (op == INVERT || (op == SOLARIZE && value >= amount)) {
                value = 255.0 - value;
            }
            if (op == AUTO_CONTRAST) {
                let least = f32(atomicLoad(&low[c]));
                let most = f32(atomicLoad(&high[c]));
                if (most > least) {
                    value = floor(clamp((value - least) * (255.0 / (most - least)), 0.0, 255.0));
                }
            }
            if (op == EQUALIZE) {
                value = f32(atomicLoad(&histogram[c * 256u + u32(value)]));
            }
            value = select(value, 0.0, cut);
            y[(image * C + c) * PLANE + pixel] = (value / 255.0 - mean(c)) / deviation(c);
        }
    }
}
