// C as single elements: rows of any length.
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn store_c(at: u32, column: u32, v: vec4<f32>) {
    c[at] = v.x;
    if (column + 1u < N) {
        c[at + 1u] = v.y;
    }
    if (column + 2u < N) {
        c[at + 2u] = v.z;
    }
    if (column + 3u < N) {
        c[at + 3u] = v.w;
    }
}
