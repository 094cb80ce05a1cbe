// Dynamic loss scaling (Micikevicius et al., 2018, section 3.2): the loss of the next step is multiplied by a power of
// two, so that small gradients are not lost in halves.
//
//   a gradient was not finite    the step was left out; scale /= 2, down to 1
//   GROW finite steps in a row   scale *= 2, up to MOST
//
// A step that was left out is none to stop for, so the guard's flag is cleared; it stays when the loss itself was not
// finite, or the scale is 1 already.
//
// One invocation, after all that heeds the flag. Bindings: 0 scale [1], 1 counts [2]: finite steps since the scale
// changed, steps left out so far; 2 flag [4] (guard.wgsl).

@group(0) @binding(0) var<storage, read_write> scale: array<f32, 1>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32, 2>;
@group(0) @binding(2) var<storage, read_write> flag: array<u32, 4>;

@compute @workgroup_size(1)
fn rescale() {
    let now = scale[0];
    if flag[0] == 0u {
        let finite = counts[0] + 1u;
        let grows = finite >= GROW;
        counts[0] = select(finite, 0u, grows);
        if grows {
            scale[0] = min(2.0 * now, MOST);
        }
    } else if flag[2] == 0u && now > 1.0 {
        scale[0] = max(0.5 * now, 1.0);
        counts[0] = 0u;
        counts[1] += 1u;
        flag[0] = 0u;
        flag[1] = 0u;
        flag[2] = 0u;
        flag[3] = 0u;
    }
}
