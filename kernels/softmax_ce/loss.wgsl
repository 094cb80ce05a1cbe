// The batch's loss from its rows, and the weighted mean's denominator. One workgroup each.
//
// denominator: D = sum of weights[labels[i]]             Bindings: 0 labels, 1 weights, 2 D
// mean:        loss = sum of rows / D (N without WEIGHTS) Bindings: 0 rows, 1 D, 2 loss
// A label >= CLASSES counts as class CLASSES - 1 here; its row is NaN anyway.
#include "reduce.wgsl"

@group(0) @binding(0) var<storage, read> items: array<u32>; // labels, or the rows' losses as bits
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn denominator(@builtin(local_invocation_index) lid: u32) {
    var sum = 0.0;
    for (var i = lid; i < arrayLength(&items); i += WORKGROUP) {
        sum += weights[min(items[i], CLASSES - 1u)];
    }
    let total = workgroup_sum(vec4<f32>(sum, 0.0, 0.0, 0.0), lid).x;
    if lid == 0u {
        result[0] = total;
    }
}

@compute @workgroup_size(WORKGROUP)
fn mean(@builtin(local_invocation_index) lid: u32) {
    var sum = 0.0;
    for (var i = lid; i < arrayLength(&items); i += WORKGROUP) {
        sum += bitcast<f32>(items[i]);
    }
    var total = workgroup_sum(vec4<f32>(sum, 0.0, 0.0, 0.0), lid).x;
    if !MEAN {
        // the sum
    } else if WEIGHTS {
        total /= weights[0];
    } else {
        total /= f32(arrayLength(&items));
    }
    if lid == 0u {
        result[0] = total;
    }
}
