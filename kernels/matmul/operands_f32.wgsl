// A and B as single elements: rows of any length.
#input a 0 f32
#input b 1 f32

fn load_a(at: u32) -> vec4<f32> { return a_four(at); }

fn load_b(at: u32) -> vec4<f32> { return b_four(at); }
