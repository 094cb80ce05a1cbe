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

// 1 at component i, else 0.
fn one_hot(i: u32) -> Pack {
    return select(vec4<f32>(), vec4<f32>(1.0), vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(i));
}

// The pack as four components.
fn widened(v: Pack) -> vec4<f32> {
    return v;
}
