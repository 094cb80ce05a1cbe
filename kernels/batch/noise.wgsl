// y[e]: random numbers of the step, by KIND
//
//   0 uniform    u in [0, 1)
//   1 normal     sqrt(-2 log(1 - u1)) cos(2 pi u2)   (Box and Muller)
//   2 Bernoulli  1 with probability P, else 0
//
// Random words: philox(key = seed, counter = (step.first ROW + e, step, STREAM, WHICH)), ROW numbers belonging
// to a sample: a number depends on the sample's position in the epoch's order, its place in the sample and
// the step alone, not on how a batch is shared out. WHICH keeps the draws of one step apart.
//
// Mapping: a thread per element. Grid: linear, 64 elements a workgroup. Bindings: 0 step, 1 y.
#include "step.wgsl"
#include "philox.wgsl"

const STREAM: u32 = 3u;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let at = (wg.x + wg.y * groups.x) * 64u + thread;
    if (at >= arrayLength(&y)) {
        return;
    }
    let words = philox(vec4<u32>(step.first * ROW + at, step.step, STREAM, WHICH), step.seed);
    let u = random_unit(words.x);
    var value = u;
    if (KIND == 1u) {
        value = sqrt(-2.0 * log(1.0 - u)) * cos(6.28318530718 * random_unit(words.y));
    }
    if (KIND == 2u) {
        value = select(0.0, 1.0, u < P);
    }
    y[at] = value;
}
