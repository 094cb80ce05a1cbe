// A and B as vectors of four: the contiguous axis of each is a multiple of four.
#input a 0 vec4<f32>
#input b 1 vec4<f32>

fn load_a(at: u32) -> vec4<f32> {
    return a(at / 4u);
}

fn load_b(at: u32) -> vec4<f32> {
    return b(at / 4u);
}
