// Four neighbours in a row of the result at a time (its rows are a multiple of four).
alias Quad = vec4<f32>;
const WIDTH: u32 = 4u;

fn quad(row: u32, column: u32) -> Quad {
    return Quad(element(row, column), element(row, column + 1u), element(row, column + 2u), element(row, column + 3u));
}
