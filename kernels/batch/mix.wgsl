// Two batches into one. For sample i, j = (i + step.shift) mod N is its partner in `other`:
//
//   mixup   y[i] = lambda x[i] + (1 - lambda) other[j]              (Zhang et al., 2018)
//   CutMix  y[i] = other[j] inside a box, x[i] outside it           (Yun et al., 2019)
//
// The box has sides sqrt(1 - lambda) H and W, rounded down, a centre drawn evenly over the image, and
// is clipped at the border. share[0] is what is left of x: lambda, or 1 - (area of the box) / (H W).
// partner[i] = other_labels[j]. lambda = 1 leaves the batch as it is.
//
// Random words: philox(key = seed, counter = (step, batch, STREAM, 0)): .x the centre's row, .y its column.
//
// Mapping: a workgroup of 64 threads per sample, each thread taking every 64th pack of it.
// Grid: samples, folded into x and y. Bindings: 0 x, 1 other, 2 other's labels, 3 step, 4 y, 5 partner, 6 share.
// Constants: N, PACKS (packs of a sample), H, W, BOX (CutMix).
#include "step.wgsl"
#include "philox.wgsl"
#include "pack"
#include "within"

const STREAM: u32 = 2u;

#input x 0 Pack
#input other 1 Pack
@group(0) @binding(2) var<storage, read> other_labels: array<u32>;
@group(0) @binding(3) var<uniform> step: Step;
@group(0) @binding(4) var<storage, read_write> y: array<Pack>;
@group(0) @binding(5) var<storage, read_write> partner: array<u32>;
@group(0) @binding(6) var<storage, read_write> share: array<f32>;

// First and end of a side of the box, clipped.
fn side(word: u32, size: u32) -> vec2<u32> {
    let half = u32(f32(size) * sqrt(1.0 - step.lambda)) / 2u;
    let centre = random_below(word, size);
    return vec2<u32>(centre - min(centre, half), min(centre + half, size));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = wg.x + wg.y * groups.x;
    if (i >= N) {
        return;
    }
    let j = (i + step.shift) % N;
    let random = philox(vec4<u32>(step.step, step.batch, STREAM, 0u), step.seed);
    let rows = side(random.x, H);
    let columns = side(random.y, W);
    if (thread == 0u) {
        partner[i] = other_labels[j];
        if (i == 0u) {
            let area = f32((rows.y - rows.x) * (columns.y - columns.x));
            share[0] = select(step.lambda, 1.0 - area / f32(H * W), BOX);
        }
    }
    for (var k = thread; k < PACKS; k += 64u) {
        let own = x(i * PACKS + k);
        let theirs = other(j * PACKS + k);
        var mixed = step.lambda * own + (1.0 - step.lambda) * theirs;
        if (BOX) {
            let row = k * WIDTH / W % H;
            let column = k * WIDTH % W;
            let inside = row >= rows.x && row < rows.y;
            mixed = select(own, theirs, within(column, columns, inside));
        }
        y[i * PACKS + k] = mixed;
    }
}
