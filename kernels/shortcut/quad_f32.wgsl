// One element of the result at a time (its rows are no multiple of four).
alias Quad = f32;
const WIDTH: u32 = 1u;

fn quad(row: u32, column: u32) -> Quad {
    return element(row, column);
}
