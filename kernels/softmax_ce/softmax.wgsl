// Softmax and log-softmax over rows, forward and backward, one workgroup per row.
//
//   softmax      y = exp(x - max) / s,          s = sum exp(x - max);   dx = y (dy - sum dy y)
//   log-softmax  y = (x - max) - log s;                                 dx = dy - exp(y) sum dy
//
// Grid (rows, folded into x and y).
// Bindings: forward 0 x [ROWS, COLS], 1 (not read), 2 y; backward 0 y, 1 dy, 2 dx.
#include "pack"
#include "reduce.wgsl"
#include "finite"

#input x 0 Pack
#input dy 1 Pack
@group(0) @binding(2) var<storage, read_write> result: array<Pack>;

const PACKS: u32 = COLS / WIDTH;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = wg.x + wg.y * groups.x;
    if row >= ROWS {
        return;
    }
    var top = splat(LOWEST);
    var key = vec4<u32>();
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        let v = x(row * PACKS + i);
        top = max(top, v);
        key = max(key, nan_key(widened(v)));
    }
    let bad = has_nan(key);
    let seen = workgroup_max(vec4<f32>(fold_max(top), select(0.0, 1.0, bad), 0.0, 0.0), lid);
    var sum = splat(0.0);
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        sum += exp(x(row * PACKS + i) - seen.x);
    }
    let total = workgroup_sum(vec4<f32>(fold(sum), 0.0, 0.0, 0.0), lid).x;
    let poisoned = seen.y > 0.0 || undefined_row(seen.x);
    let log_total = log(total);
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        let at = row * PACKS + i;
        var v = splat(not_a_number(row));
        if !poisoned {
            if LOG {
                v = (x(at) - seen.x) - log_total;
            } else {
                v = exp(x(at) - seen.x) / total;
            }
        }
        result[at] = v;
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = wg.x + wg.y * groups.x;
    if row >= ROWS {
        return;
    }
    var sum = splat(0.0);
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        let at = row * PACKS + i;
        if LOG {
            sum += dy(at);
        } else {
            sum += dy(at) * x(at);
        }
    }
    let total = workgroup_sum(vec4<f32>(fold(sum), 0.0, 0.0, 0.0), lid).x;
    for (var i = lid; i < PACKS; i += WORKGROUP) {
        let at = row * PACKS + i;
        if LOG {
            result[at] = dy(at) - exp(x(at)) * total;
        } else {
            result[at] = x(at) * (dy(at) - total);
        }
    }
}
