// caught by: the reference
// y[0] should be the sum of 512 x; every invocation adds to it without waiting for the others. Every
// compiler takes this: it is right WGSL. Only what it computes is wrong.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
    y[0] += x[at.x];
}
