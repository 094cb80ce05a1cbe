// One element of the result at a time (its length is no multiple of four).
alias Quad = f32;
const WIDTH: u32 = 1u;

fn quad(index: u32) -> Quad {
    return element(index);
}
