// Which of a pack's pixels lie in the box: its columns are neighbours in one row (W is a multiple of four).
fn within(column: u32, columns: vec2<u32>, row: bool) -> vec4<bool> {
    let at = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u);
    return (at >= vec4<u32>(columns.x)) & (at < vec4<u32>(columns.y)) & vec4<bool>(row);
}
