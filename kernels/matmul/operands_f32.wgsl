// A and B as single elements: rows of any length.
#input a 0 f32
#input b 1 f32

fn load_a(at: u32) -> vec4<f32> {
    return vec4<f32>(a(at), a(at + 1u), a(at + 2u), a(at + 3u));
}

fn load_b(at: u32) -> vec4<f32> {
    return vec4<f32>(b(at), b(at + 1u), b(at + 2u), b(at + 3u));
}
