// ring[step % length] = loss: the losses that the host reads every so often.
//
// One invocation. Bindings: 0 loss [1], 1 ring, 2 the step's uniform.
#include "step.wgsl"

@group(0) @binding(0) var<storage, read> loss: array<f32>;
@group(0) @binding(1) var<storage, read_write> ring: array<f32>;
@group(0) @binding(2) var<uniform> step: Step;

@compute @workgroup_size(1)
fn record() {
    ring[step.step % arrayLength(&ring)] = loss[0];
}
