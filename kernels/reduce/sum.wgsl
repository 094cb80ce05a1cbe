// y[part, o] = SCALE * sum over the part's terms t of x[kept(o) + summed(t)]
//
// Up to three kept and three summed axes, innermost first, lengths and strides in packs. LANES
// invocations share an output; the terms of z part `part` of the grid are one run of TERMS / parts.
//
// rows:    the contiguous axis is summed: a pack holds four terms of one output; the output's
//          lanes are neighbours and read neighbouring packs.
// columns: the contiguous axis is kept: a pack holds four outputs; neighbouring invocations take
//          neighbouring outputs.
// Grid (OUTPUTS / (WORKGROUP / LANES), folded into x and y; parts).
// Bindings: 0 x, 1 y.
#include "pack"

#input x 0 Pack
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

const OWNED: u32 = WORKGROUP / LANES; // outputs of a workgroup

var<workgroup> partial: array<Pack, WORKGROUP>;

fn kept(o: u32) -> u32 {
    let rest = o / KEPT_0;
    return o % KEPT_0 * KEPT_STRIDE_0 + rest % KEPT_1 * KEPT_STRIDE_1 + rest / KEPT_1 * KEPT_STRIDE_2;
}

fn summed(t: u32) -> u32 {
    let rest = t / SUMMED_0;
    return t % SUMMED_0 * SUMMED_STRIDE_0 + rest % SUMMED_1 * SUMMED_STRIDE_1
        + rest / SUMMED_1 * SUMMED_STRIDE_2;
}

// The lane's share of output o; `lane` < LANES.
fn share(o: u32, lane: u32, part: u32, parts: u32) -> Pack {
    let size = (TERMS + parts - 1u) / parts;
    let first = min(part * size, TERMS);
    let end = min(first + size, TERMS);
    var total = splat(0.0);
    let base = kept(o);
    for (var t = first + lane; t < end; t += LANES) {
        total += x(base + summed(t));
    }
    return total;
}

@compute @workgroup_size(WORKGROUP)
fn rows(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let o = (wg.x + wg.y * groups.x) * OWNED + lid / LANES;
    var total = splat(0.0);
    if o < OUTPUTS {
        total = share(o, lid % LANES, wg.z, groups.z);
    }
    if LANES > 1u {
        for (var step = LANES / 2u; step > 0u; step /= 2u) {
            partial[lid] = total;
            workgroupBarrier();
            if lid % LANES < step {
                total += partial[lid + step];
            }
            workgroupBarrier();
        }
    }
    if o < OUTPUTS && lid % LANES == 0u {
        y[wg.z * OUTPUTS + o] = fold(total) * SCALE;
    }
}

@compute @workgroup_size(WORKGROUP)
fn columns(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let o = (wg.x + wg.y * groups.x) * OWNED + lid % OWNED;
    var total = splat(0.0);
    if o < OUTPUTS {
        total = share(o, lid / OWNED, wg.z, groups.z);
    }
    if LANES > 1u {
        for (var step = LANES / 2u; step > 0u; step /= 2u) {
            partial[lid] = total;
            workgroupBarrier();
            if lid / OWNED < step {
                total += partial[lid + step * OWNED];
            }
            workgroupBarrier();
        }
    }
    if o < OUTPUTS && lid < OWNED {
        store(wg.z * OUTPUTS + o, total);
    }
}

// Writes one pack of outputs.
fn store(at: u32, v: Pack) {
    let scaled = v * SCALE;
    for (var i = 0u; i < WIDTH; i++) {
        y[at * WIDTH + i] = component(scaled, i);
    }
}
