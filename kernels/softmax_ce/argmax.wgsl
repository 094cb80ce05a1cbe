// predictions[step.first + i] = index of the largest logit of row i; the first of equals.
//
// Floats are compared as integers: for a non-negative float flip the sign bit, for a negative one all
// bits, and unsigned order is float order. -0 counts as 0, NaN as larger than anything.
// An invocation keeps (key, index) of its best; the workgroup's best is found in two levels.
//
// Workgroup: one row. Grid (N, folded into x and y).
// Bindings: 0 logits [N, CLASSES], 1 predictions, 2 the step's uniform.
#include "step.wgsl"

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> predictions: array<u32>;
@group(0) @binding(2) var<uniform> step: Step;

var<workgroup> best: array<vec2<u32>, WORKGROUP>;

fn sort_key(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return 0xffffffffu;
    }
    if bits == 0x80000000u {
        return 0x80000000u;
    }
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// The larger key; of equal keys the smaller index.
fn better(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}

@compute @workgroup_size(WORKGROUP)
fn argmax(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = wg.x + wg.y * groups.x;
    var own = vec2<u32>(0u, 0xffffffffu);
    if row < arrayLength(&logits) / CLASSES {
        for (var c = lid; c < CLASSES; c += WORKGROUP) {
            own = better(own, vec2<u32>(sort_key(logits[row * CLASSES + c]), c));
        }
    }
    best[lid] = own;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lid < half {
            own = better(own, best[lid + half]);
            best[lid] = own;
        }
        workgroupBarrier();
    }
    let at = step.first + row;
    if lid == 0u && row < arrayLength(&logits) / CLASSES && at < arrayLength(&predictions) {
        predictions[at] = own.y;
    }
}
