// A pack is what one load moves: four elements here (lengths divisible by 4).
alias Pack = vec4<f32>;

fn map(a: Pack, b: Pack, c: Pack) -> Pack {
    return Pack(
        element(a.x, b.x, c.x),
        element(a.y, b.y, c.y),
        element(a.z, b.z, c.z),
        element(a.w, b.w, c.w),
    );
}
