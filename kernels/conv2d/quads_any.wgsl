// Four neighbouring pixels of a row at once, for any width.
// Offsets are in elements; a quad at a row's end reads past it, and the caller masks that.

#input image 0 f32 3
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

fn result_length() -> u32 { return arrayLength(&result); }
fn pixel(at: u32) -> f32 { return image(min(at, image_length() - 1u)); }
fn quad(at: u32) -> vec4<f32> { return image_four(at); }
fn store_quad(at: u32, v: vec4<f32>, count: u32) {
    result[at] = v.x;
    if count > 1u { result[at + 1u] = v.y; }
    if count > 2u { result[at + 2u] = v.z; }
    if count > 3u { result[at + 3u] = v.w; }
}
