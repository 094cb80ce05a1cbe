// Reductions over a workgroup of WORKGROUP invocations (a constant of the includer, a power of two).
//
// Two levels and two barriers, always in the same order, so the result is the same bits at every
// run: invocation i < COLUMNS folds the entries i, i + COLUMNS, ..., then everyone folds the COLUMNS
// results. A binary tree would take log2(WORKGROUP) barriers and, on a CPU driver, as many sweeps.
//
// Every function must be called in uniform control flow by the whole workgroup, and returns the same
// value to every invocation.

const COLUMNS: u32 = (WORKGROUP + 15u) / 16u;

var<workgroup> reduction: array<vec4<f32>, WORKGROUP>;

// ANCHOR: sum
// Sum of `value`, component by component.
fn workgroup_sum(value: vec4<f32>, lid: u32) -> vec4<f32> {
    workgroupBarrier(); // an earlier reduction has been read
    reduction[lid] = value;
    workgroupBarrier();
    var total = vec4<f32>();
    if lid < COLUMNS {
        for (var i = lid; i < WORKGROUP; i += COLUMNS) {
            total += reduction[i];
        }
    }
    workgroupBarrier();
    if lid < COLUMNS {
        reduction[lid] = total;
    }
    workgroupBarrier();
    total = reduction[0];
    for (var i = 1u; i < COLUMNS; i++) {
        total += reduction[i];
    }
    return total;
}
// ANCHOR_END: sum

// Largest of `value`, component by component.
fn workgroup_max(value: vec4<f32>, lid: u32) -> vec4<f32> {
    workgroupBarrier();
    reduction[lid] = value;
    workgroupBarrier();
    var top = reduction[lid];
    if lid < COLUMNS {
        for (var i = lid; i < WORKGROUP; i += COLUMNS) {
            top = max(top, reduction[i]);
        }
    }
    workgroupBarrier();
    if lid < COLUMNS {
        reduction[lid] = top;
    }
    workgroupBarrier();
    top = reduction[0];
    for (var i = 1u; i < COLUMNS; i++) {
        top = max(top, reduction[i]);
    }
    return top;
}

// ANCHOR: moments
// Mean, sum of squared deviations from it, and count of a set of numbers.
struct Moments {
    mean: f32,
    m2: f32,
    count: f32,
}

// The moments of two sets together (Chan, Golub and LeVeque); either may be empty.
fn merge_moments(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / max(count, 1.0);
    let delta = b.mean - a.mean;
    return Moments(a.mean + delta * share, a.m2 + b.m2 + delta * delta * a.count * share, count);
}
// ANCHOR_END: moments

fn stored_moments(i: u32) -> Moments {
    let v = reduction[i];
    return Moments(v.x, v.y, v.z);
}

// The moments of the union of every invocation's set.
fn workgroup_moments(own: Moments, lid: u32) -> Moments {
    workgroupBarrier();
    reduction[lid] = vec4<f32>(own.mean, own.m2, own.count, 0.0);
    workgroupBarrier();
    var total = Moments(0.0, 0.0, 0.0);
    if lid < COLUMNS {
        for (var i = lid; i < WORKGROUP; i += COLUMNS) {
            total = merge_moments(total, stored_moments(i));
        }
    }
    workgroupBarrier();
    if lid < COLUMNS {
        reduction[lid] = vec4<f32>(total.mean, total.m2, total.count, 0.0);
    }
    workgroupBarrier();
    total = stored_moments(0u);
    for (var i = 1u; i < COLUMNS; i++) {
        total = merge_moments(total, stored_moments(i));
    }
    return total;
}
