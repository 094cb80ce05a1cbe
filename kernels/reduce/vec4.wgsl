// Pack: what one load brings. Here four neighbouring words; `scalar.wgsl` is its twin for rows whose
// length is no multiple of four.
alias Pack = vec4<f32>;
const WIDTH: u32 = 4u;

fn splat(v: f32) -> Pack {
    return vec4<f32>(v);
}

// Sum of the components.
fn fold(v: Pack) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

fn fold_max(v: Pack) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn component(v: Pack, i: u32) -> f32 {
    return v[i];
}
