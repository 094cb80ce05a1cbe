// Four neighbouring elements of the result at a time (its length is a multiple of four).
alias Quad = vec4<f32>;
const WIDTH: u32 = 4u;

fn quad(index: u32) -> Quad {
    return Quad(element(index), element(index + 1u), element(index + 2u), element(index + 3u));
}
