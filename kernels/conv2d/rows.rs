//! 3x3, stride 1, on subgroups of 8 (`rows.wgsl`).

use super::{Conv2d, Direction, costed, geometry, linear, words};
use crate::{Arg, Launch, Program, Source};

const ROWS: Source = source!("conv2d/rows.wgsl");
const PACK: Source = source!("conv2d/pack.wgsl");
const QUADS_VEC4: Source = source!("conv2d/quads_vec4.wgsl");
const QUADS_ANY: Source = source!("conv2d/quads_any.wgsl");

pub(super) fn fits(s: &Conv2d, direction: Direction) -> bool {
    direction != Direction::BackwardWeights
        && (s.kh, s.kw) == (3, 3)
        && s.stride == [1, 1]
        && s.dilation == [1, 1]
        && s.pad == [1, 1]
        && s.groups == 1
}

pub(super) fn program(s: &Conv2d, direction: Direction) -> Program {
    let flip = direction == Direction::BackwardData;
    let (input, output) = if flip { (s.co, s.ci) } else { (s.ci, s.co) };
    let (c, r) = if output <= 8 { (8, 4) } else { (16, 2) };
    let view = Conv2d { ci: input, co: output, ..*s };
    let blocks = output.div_ceil(c);
    let mut p = Program::default();
    let packed_words = words([blocks, input, 9, c]);
    let packed = p.temp(packed_words);
    let pack = Launch::new(PACK, "main")
        .constant("IN", input)
        .constant("OUT", output)
        .constant("TAPS", 9u32)
        .constant("C", c)
        .constant("FLIP", flip)
        .cost(0, 4 * s.weight_words() as u64, 4 * packed_words as u64);
    p.push(linear(pack, packed_words / 4, 64), [Arg::In(1), packed]);
    let units = words([s.n, s.h.div_ceil(r), s.w.div_ceil(4), 1]);
    let quads = if s.w % 4 == 0 { QUADS_VEC4 } else { QUADS_ANY };
    let launch = geometry(Launch::new(ROWS, "main"), &view)
        .constant("C", c)
        .constant("R", r)
        .part("quads", quads)
        .with_subgroups();
    let mut launch = linear(costed(launch, s, direction), units, 8);
    launch.grid[2] = blocks;
    p.push(launch, [Arg::In(0), packed, Arg::Out(0)]);
    p
}
