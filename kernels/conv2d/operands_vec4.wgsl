// The operands of backward-weights in quads of a row, for widths that are a multiple of 4.
// Offsets are in elements; a quad at a row's end may read past it, and the caller masks that.

#input x 0 vec4<f32> 3
#input dy 1 vec4<f32>

fn x_words() -> u32 { return x_length() * 4u; }
fn x_quad(at: u32) -> vec4<f32> { return x(at / 4u); }
fn x_pixel(at: u32) -> f32 { return x(at / 4u)[at % 4u]; }
fn dy_quad(at: u32) -> vec4<f32> { return dy(at / 4u); }
