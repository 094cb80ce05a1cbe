//! 3x3 with stride 1 or 2 among 8 lanes of a subgroup (`rows.wgsl`, `rows_up.wgsl`, `weights_rows.wgsl`).

use super::{
    Conv2d, Direction, OPERANDS, Weights, costed, geometry, linear, pack, shares, split, words,
};
use crate::{Arg, Caps, Launch, Program, Source};

const ROWS: Source = source!("conv2d/rows.wgsl");
const ROWS_UP: Source = source!("conv2d/rows_up.wgsl");
const WEIGHTS: Source = source!("conv2d/weights_rows.wgsl");
pub(super) const OPERANDS_VEC4: Source = source!("conv2d/operands_vec4.wgsl");
pub(super) const OPERANDS_ANY: Source = source!("conv2d/operands_any.wgsl");
pub(super) const QUADS_VEC4: Source = source!("conv2d/quads_vec4.wgsl");
pub(super) const QUADS_ANY: Source = source!("conv2d/quads_any.wgsl");

/// Output channels of a workgroup in `rows.wgsl`.
const C: u32 = 8;

/// Channels of a workgroup in the other two: half as many where there are no more.
fn block(channels: u32) -> u32 {
    if channels <= 8 { 8 } else { 16 }
}

pub(super) fn fits(s: &Conv2d) -> bool {
    (s.kh, s.kw) == (3, 3)
        && (s.stride == [1, 1] || s.stride == [2, 2])
        && s.dilation == [1, 1]
        && s.pad == [1, 1]
        && s.groups == 1
}

pub(super) fn program(s: &Conv2d, direction: Direction, caps: &Caps) -> Program {
    match direction {
        Direction::BackwardWeights => weights(s, caps),
        Direction::BackwardData if s.stride == [2, 2] => up(s, caps),
        _ => forward(s, direction, caps),
    }
}

/// Both rows of pixels are whole quads.
fn aligned(s: &Conv2d) -> bool {
    s.w.is_multiple_of(4) && s.out_hw().1.is_multiple_of(4)
}

/// The quads of image and result, and the weights.
fn quads(launch: Launch, s: &Conv2d, caps: &Caps) -> Launch {
    let quads = if aligned(s) { QUADS_VEC4 } else { QUADS_ANY };
    launch.with_subgroups().texels(caps, &["image", "weight"]).part("quads", quads)
}

/// The arguments whose length `quads` asks for beside the result's.
fn lengths(s: &Conv2d) -> &'static [Arg] {
    if aligned(s) { &[] } else { &[Arg::In(0)] }
}

/// Forward, and backward-data with stride 1 as a forward with flipped, transposed weights.
fn forward(s: &Conv2d, direction: Direction, caps: &Caps) -> Program {
    let flip = direction == Direction::BackwardData;
    let view = if flip { Conv2d { ci: s.co, co: s.ci, ..*s } } else { *s };
    let (ho, wo) = s.out_hw();
    let r = if s.stride == [1, 1] && ho > 2 { 4 } else { 2 };
    let mut p = Program::default();
    let packed = pack(&mut p, s, Weights { transpose: flip, flip, block: C }, caps);
    let units = words([s.n, ho.div_ceil(r), wo.div_ceil(4), 1]);
    let launch =
        geometry(Launch::new(ROWS, "main"), &view).constant("STRIDE", s.stride[0]).constant("R", r);
    let launch = quads(launch, s, caps);
    let mut launch = linear(costed(launch, s, direction), units, 8);
    launch.grid[2] = view.co.div_ceil(C);
    p.push_reading(launch, &[Arg::In(0), packed, Arg::Out(0)], lengths(s));
    p
}

/// Backward-data with stride 2: all four phases of dx from one pass over dy.
fn up(s: &Conv2d, caps: &Caps) -> Program {
    let mut p = Program::default();
    let block = block(s.ci);
    let packed = pack(&mut p, s, Weights { transpose: true, flip: false, block }, caps);
    let units = words([s.n, s.h.div_ceil(2), s.w.div_ceil(2).div_ceil(4), 1]);
    let launch = geometry(Launch::new(ROWS_UP, "main"), s).constant("C", block);
    let launch = quads(launch, s, caps);
    let mut launch = linear(costed(launch, s, Direction::BackwardData), units, 8);
    launch.grid[2] = s.ci.div_ceil(block);
    p.push_reading(launch, &[Arg::In(0), packed, Arg::Out(0)], lengths(s));
    p
}

/// Backward-weights: blocks of 8 input and 8 or 16 output channels, the batch's rows cut into shares.
fn weights(s: &Conv2d, caps: &Caps) -> Program {
    let block = block(s.co);
    let (ho, wo) = s.out_hw();
    let blocks = s.ci.div_ceil(8) * s.co.div_ceil(block);
    let rows = s.n * wo.div_ceil(8) * ho;
    let parts = shares(blocks, rows);
    let operands = if aligned(s) { OPERANDS_VEC4 } else { OPERANDS_ANY };
    let launch = geometry(Launch::new(WEIGHTS, "main"), s)
        .constant("STRIDE", s.stride[0])
        .constant("C", block)
        .part("operands", operands)
        .texels(caps, &["x", "dy"])
        .with_subgroups()
        .grid(s.ci.div_ceil(8), s.co.div_ceil(block), parts);
    let launch = costed(launch, s, Direction::BackwardWeights);
    split(s, launch, parts, &OPERANDS[..1], caps)
}
