// The operands of backward-weights in quads of a row, for any width.
// Offsets are in elements; a quad at a row's end may read past it, and the caller masks that.

#input x 0 f32 3
#input dy 1 f32

fn x_words() -> u32 { return x_length(); }
fn x_quad(at: u32) -> vec4<f32> { return x_four(at); }
fn x_pixel(at: u32) -> f32 { return x(at); }
fn dy_quad(at: u32) -> vec4<f32> { return dy_four(at); }
