// C as vectors of four: N is a multiple of four.
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

fn store_c(at: u32, column: u32, v: vec4<f32>) {
    c[at / 4u] = v;
}
