// Whether a pack of one pixel lies in the box.
fn within(column: u32, columns: vec2<u32>, row: bool) -> bool {
    return column >= columns.x && column < columns.y && row;
}
