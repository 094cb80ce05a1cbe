// Softmax cross-entropy and its gradient, one workgroup per row.
//
//   z = logits + offsets, p = softmax(z), y = label, w = class weights (1 without), e = SMOOTHING
//   row     = (1 - e) w_y (-log p_y) + e/C sum_c w_c (-log p_c)
//   loss    = sum of rows / D,   D = sum of w_y over the batch (the batch size without weights; 1
//             without MEAN)
//   dlogits = [(1 - e) w_y (p_c - [c = y]) + e/C (p_c sum w - w_c)] / D
// with log p_c = z_c - max - log(sum exp(z - max)).
//
// A logit that is NaN or +inf, a row of -inf only, or a label >= CLASSES makes the row NaN: tested by
// bits and labels, since compilers may assume that floats are finite.
//
// Grid (N, folded into x and y).
// Bindings: 0 logits [N, CLASSES], 1 labels [N], 2 weights [CLASSES] (not read without WEIGHTS),
//           3 offsets [CLASSES] (not read without OFFSETS), 4 D (not read without WEIGHTS),
//           5 row loss [N], 6 dlogits.
#include "pack"
#include "reduce.wgsl"
#include "finite"

#input logits 0 Pack
@group(0) @binding(1) var<storage, read> labels: array<u32>;
#input weights 2 Pack
#input offsets 3 Pack
@group(0) @binding(4) var<storage, read> denominator: array<f32>;
@group(0) @binding(5) var<storage, read_write> row_loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> dlogits: array<Pack>;

const PACKS: u32 = CLASSES / WIDTH;

fn logit(row: u32, i: u32) -> Pack {
    if OFFSETS {
        return logits(row * PACKS + i) + offsets(i);
    }
    return logits(row * PACKS + i);
}

@compute @workgroup_size(WORKGROUP)
fn cross_entropy(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = wg.x + wg.y * groups.x;
    let rows = arrayLength(&labels);
    if row >= rows {
        return;
    }
    let label = labels[row];

    var top = splat(LOWEST);
    var key = vec4<u32>();
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        let z = logit(row, i);
        top = max(top, z);
        key = max(key, nan_key(widened(z)));
    }
    let bad = has_nan(key) || label >= CLASSES;
    let seen = workgroup_max(vec4<f32>(fold_max(top), select(0.0, 1.0, bad), 0.0, 0.0), lid);
    let highest = seen.x;

    // Sums of exp(z - max), and for label smoothing of w and w (z - max).
    var exps = splat(0.0);
    var all_w = splat(0.0);
    var all_wz = splat(0.0);
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        let z = logit(row, i) - highest;
        exps += exp(z);
        if SMOOTHING > 0.0 {
            var w = splat(1.0);
            if WEIGHTS {
                w = weights(i);
            }
            all_w += w;
            all_wz += w * z;
        }
    }
    let sums = workgroup_sum(vec4<f32>(fold(exps), fold(all_w), fold(all_wz), 0.0), lid);

    // The label's own z - max and weight.
    let target_pack = min(label, CLASSES - 1u) / WIDTH;
    let target_lane = min(label, CLASSES - 1u) % WIDTH;
    let own_z = component(logit(row, target_pack), target_lane) - highest;
    var own_w = 1.0;
    var share = 1.0 / f32(rows); // 1/D
    if WEIGHTS {
        own_w = component(weights(target_pack), target_lane);
        share = 1.0 / denominator[0];
    }
    if !MEAN {
        share = 1.0;
    }

    let poisoned = seen.y > 0.0 || undefined_row(highest);
    let log_sum = log(sums.x);
    let hit = (1.0 - SMOOTHING) * own_w;
    if lid == 0u {
        var loss = hit * (log_sum - own_z);
        if SMOOTHING > 0.0 {
            loss += SMOOTHING / f32(CLASSES) * (log_sum * sums.y - sums.z);
        }
        if poisoned {
            loss = not_a_number(label);
        }
        row_loss[row] = loss;
    }

    // dlogits = p pull - e/C w/D, and the label's own entry is lower by hit/D.
    let spread = SMOOTHING / f32(CLASSES) * share;
    var pull = (hit * share + spread * sums.y) / sums.x;
    if poisoned {
        pull = not_a_number(label);
    }
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        var d = exp(logit(row, i) - highest) * pull;
        if SMOOTHING > 0.0 {
            var w = splat(1.0);
            if WEIGHTS {
                w = weights(i);
            }
            d -= spread * w;
        }
        if i == target_pack {
            d -= one_hot(target_lane) * (hit * share);
        }
        dlogits[row * PACKS + i] = d;
    }
}
