// Four neighbouring pixels of a row at once, for widths that are a multiple of 4.
// Offsets are in elements; quad and store_quad take multiples of 4.

#input image 0 vec4<f32>
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

fn result_length() -> u32 { return arrayLength(&result) * 4u; }
fn quad(at: u32) -> vec4<f32> { return image(at / 4u); }
fn pixel(at: u32) -> f32 { return image(at / 4u)[at % 4u]; }
fn store_quad(at: u32, v: vec4<f32>, count: u32) { result[at / 4u] = v; }
