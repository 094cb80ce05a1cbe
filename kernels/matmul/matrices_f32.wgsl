// The matrices as single elements: rows of any length.
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn load_a(at: u32) -> vec4<f32> {
    return vec4<f32>(a[at], a[at + 1u], a[at + 2u], a[at + 3u]);
}

fn load_b(at: u32) -> vec4<f32> {
    return vec4<f32>(b[at], b[at + 1u], b[at + 2u], b[at + 3u]);
}

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
