//! 3x3, stride 1, on subgroups of 8 (`rows.wgsl`).

use super::{Conv2d, Direction, Weights, costed, geometry, linear, pack, shares, split, words};
use crate::{Arg, Launch, Program, Source};

const ROWS: Source = source!("conv2d/rows.wgsl");
const WEIGHTS: Source = source!("conv2d/weights_rows.wgsl");
const OPERANDS_VEC4: Source = source!("conv2d/operands_vec4.wgsl");
const OPERANDS_ANY: Source = source!("conv2d/operands_any.wgsl");
const QUADS_VEC4: Source = source!("conv2d/quads_vec4.wgsl");
const QUADS_ANY: Source = source!("conv2d/quads_any.wgsl");

pub(super) fn fits(s: &Conv2d, direction: Direction) -> bool {
    (s.kh, s.kw) == (3, 3)
        && (s.stride == [1, 1] || direction == Direction::BackwardWeights && s.stride == [2, 2])
        && s.dilation == [1, 1]
        && s.pad == [1, 1]
        && s.groups == 1
}

pub(super) fn program(s: &Conv2d, direction: Direction) -> Program {
    if direction == Direction::BackwardWeights {
        return weights(s);
    }
    let flip = direction == Direction::BackwardData;
    let (input, output) = if flip { (s.co, s.ci) } else { (s.ci, s.co) };
    let (c, r) = if output <= 8 { (8, 4) } else { (16, 2) };
    let view = Conv2d { ci: input, co: output, ..*s };
    let mut p = Program::default();
    let packed = pack(&mut p, s, Weights { transpose: flip, flip, block: c });
    let units = words([s.n, s.h.div_ceil(r), s.w.div_ceil(4), 1]);
    let quads = if s.w.is_multiple_of(4) { QUADS_VEC4 } else { QUADS_ANY };
    let launch = geometry(Launch::new(ROWS, "main"), &view)
        .constant("C", c)
        .constant("R", r)
        .part("quads", quads)
        .with_subgroups();
    let mut launch = linear(costed(launch, s, direction), units, 8);
    launch.grid[2] = output.div_ceil(c);
    p.push(launch, [Arg::In(0), packed, Arg::Out(0)]);
    p
}

/// Backward-weights: blocks of 8 input and 16 output channels, the batch's rows cut into shares.
fn weights(s: &Conv2d) -> Program {
    let (ho, wo) = s.out_hw();
    let blocks = s.ci.div_ceil(8) * s.co.div_ceil(16);
    let wide = s.stride == [1, 1] && (5..=8).contains(&wo);
    let bands = s.n * ho.div_ceil(if wide { 1 } else { 2 });
    let parts = shares(blocks, bands);
    let aligned = s.w.is_multiple_of(4) && wo.is_multiple_of(4);
    let operands = if aligned { OPERANDS_VEC4 } else { OPERANDS_ANY };
    let launch = geometry(Launch::new(WEIGHTS, "main"), s)
        .constant("STRIDE", s.stride[0])
        .constant("WIDE", wide)
        .part("operands", operands)
        .with_subgroups()
        .grid(s.ci.div_ceil(8), s.co.div_ceil(16), parts);
    split(s, costed(launch, s, Direction::BackwardWeights), parts)
}
