// Pack: what one load brings. Here one word; `vec4.wgsl` is its twin for rows whose length is a
// multiple of four.
alias Pack = f32;
const WIDTH: u32 = 1u;

fn splat(v: f32) -> Pack {
    return v;
}

// Sum of the components.
fn fold(v: Pack) -> f32 {
    return v;
}

fn fold_max(v: Pack) -> f32 {
    return v;
}

fn component(v: Pack, i: u32) -> f32 {
    return v;
}

// 1: a pack has one component.
fn one_hot(i: u32) -> Pack {
    return 1.0;
}

// The pack as four components.
fn widened(v: Pack) -> vec4<f32> {
    return vec4<f32>(v);
}
