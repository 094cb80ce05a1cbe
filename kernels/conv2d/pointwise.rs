//! 1x1 as a matrix product among 8 lanes of a subgroup: `matmul/subgroup.wgsl` with the operands of
//! `pointwise.wgsl` and `pointwise_weights.wgsl`.

use super::rows::{OPERANDS_ANY, OPERANDS_VEC4, QUADS_ANY, QUADS_VEC4};
use super::{Conv2d, Direction, OPERANDS, Weights, costed, geometry, pack, shares, split};
use crate::matmul::SUBGROUP;
use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

const POINTWISE: Source = source!("conv2d/pointwise.wgsl");
const WEIGHTS: Source = source!("conv2d/pointwise_weights.wgsl");

/// Rows and columns of a tile.
const TILE: u32 = 32;

pub(super) fn fits(s: &Conv2d) -> bool {
    let plain = (s.kh, s.kw) == (1, 1) && s.pad == [0, 0] && s.groups == 1;
    let strided = s.stride[0] == s.stride[1] && s.stride[0] <= 4;
    plain && strided && s.ci.is_multiple_of(4) && s.co.is_multiple_of(4)
}

/// Pixels of y.
fn pixels(s: &Conv2d) -> u32 {
    let (ho, wo) = s.out_hw();
    ho * wo
}

/// The planes of x and y are whole quads.
fn aligned(s: &Conv2d) -> bool {
    (s.h * s.w).is_multiple_of(4) && pixels(s).is_multiple_of(4)
}

/// The product with its operands and result, which lie in one file.
fn product(s: &Conv2d, parts: Source) -> Launch {
    let launch = Launch::new(SUBGROUP, "main").part("blocks", parts).part("output", parts);
    geometry(launch, s).constant("STRIDE", s.stride[0]).with_subgroups()
}

pub(super) fn program(s: &Conv2d, direction: Direction, caps: &Caps) -> Program {
    let data = match direction {
        Direction::BackwardWeights => return weights(s, caps),
        direction => direction == Direction::BackwardData,
    };
    let (input, output) = if data { (s.co, s.ci) } else { (s.ci, s.co) };
    let mut p = Program::default();
    let packed = pack(&mut p, s, Weights { transpose: data, flip: false, block: TILE }, caps);
    // Behind a stride dx is written pixel by pixel.
    let aligned = aligned(s) && (!data || s.stride == [1, 1]);
    let tiles = output.div_ceil(TILE) * (s.n * pixels(s).div_ceil(4)).div_ceil(TILE / 4);
    let launch = product(s, POINTWISE)
        .part("quads", if aligned { QUADS_VEC4 } else { QUADS_ANY })
        .constant("IN", input)
        .constant("OUT", output)
        .constant("DATA", data)
        .texels(caps, &["image", "weight"]);
    let mut launch = costed(launch, s, direction);
    launch.grid = linear_grid(tiles);
    let again: &[Arg] = if aligned { &[] } else { &[Arg::In(0)] };
    p.push_reading(launch, &[Arg::In(0), packed, Arg::Out(0)], again);
    p
}

/// Backward-weights, all pixels of the batch cut into shares.
fn weights(s: &Conv2d, caps: &Caps) -> Program {
    let aligned = aligned(s);
    let tiles = s.co.div_ceil(TILE) * s.ci.div_ceil(TILE);
    let parts = shares(tiles, s.n * pixels(s).div_ceil(TILE));
    let launch = product(s, WEIGHTS)
        .part("operands", if aligned { OPERANDS_VEC4 } else { OPERANDS_ANY })
        .texels(caps, &["x", "dy"]);
    let mut launch = costed(launch, s, Direction::BackwardWeights);
    launch.grid = linear_grid(tiles);
    launch.grid[2] = parts;
    split(s, launch, parts, &OPERANDS[..1], caps)
}
