// caught by: naga tint
// A subgroup operation in a launch that doesn't say it needs them.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
    y[at.x] = subgroupAdd(x[at.x]);
}
