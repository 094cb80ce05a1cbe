//! The portable variant for any shape (`direct.wgsl`).

use super::{Conv2d, Direction, OPERANDS, costed, geometry, linear, split};
use crate::{Arg, Caps, Launch, Program, Source};

const DIRECT: Source = source!("conv2d/direct.wgsl");
/// Channels an invocation computes, and invocations in a workgroup.
const BLOCK: u32 = 4;
const SIZE: usize = 64;
/// Invocations that keep any device busy.
const BUSY: u32 = 16_384;

pub(super) fn program(s: &Conv2d, direction: Direction, caps: &Caps) -> Program {
    let (gi, go) = (s.ci / s.groups, s.co / s.groups);
    let (ho, wo) = s.out_hw();
    let (entry, threads) = match direction {
        Direction::Forward => ("forward", [s.n, s.groups * go.div_ceil(BLOCK), ho, wo]),
        Direction::BackwardData => {
            ("backward_data", [s.n, s.groups * gi.div_ceil(BLOCK), s.h, s.w])
        }
        Direction::BackwardWeights => {
            ("backward_weights", [s.groups * go.div_ceil(BLOCK), gi, s.kh, s.kw])
        }
    };
    let threads = super::words(threads);
    let launch = geometry(Launch::new(DIRECT, entry), s);
    let mut launch = linear(costed(launch, s, direction), threads, SIZE);
    if direction != Direction::BackwardWeights {
        return Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)]);
    }
    let parts = BUSY.div_ceil(threads as u32).min(s.n).min(64);
    launch.grid[2] = parts;
    split(s, launch, parts, &OPERANDS, caps)
}
