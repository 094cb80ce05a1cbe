// As little as a dispatch can do: one thread adds one to one number, so each waits for the one before.
//
// Binding: 0 x [1].
@group(0) @binding(0) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(1)
fn main() {
    x[0] += 1.0;
}
