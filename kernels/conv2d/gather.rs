//! Any shape among 8 lanes of a subgroup (`gather.wgsl`, `gather_weights.wgsl`).

use super::{
    Conv2d, Direction, OPERANDS, Weights, costed, geometry, linear, pack, shares, split, words,
};
use crate::{Arg, Caps, Launch, Program, Source};

const GATHER: Source = source!("conv2d/gather.wgsl");
const PHASES: Source = source!("conv2d/phases.wgsl");
const GATHER_WEIGHTS: Source = source!("conv2d/gather_weights.wgsl");

pub(super) fn program(s: &Conv2d, direction: Direction, caps: &Caps) -> Program {
    if direction == Direction::BackwardWeights {
        return weights(s, caps);
    }
    let data = direction == Direction::BackwardData;
    let (ho, wo) = s.out_hw();
    let (height, width) = if data { (s.h, s.w) } else { (ho, wo) };
    let phases = if data { s.stride } else { [1, 1] };
    let out = if data { s.ci } else { s.co } / s.groups;
    let c = if out <= 16 { 16 } else { 32 };
    let mut p = Program::default();
    let packed = pack(&mut p, s, Weights { transpose: data, flip: false, block: c }, caps);
    let units = words([s.n, height.div_ceil(phases[0]), width.div_ceil(phases[1]).div_ceil(4), 1]);
    let launch =
        phased(Launch::new(GATHER, "main"), s, direction).constant("C", c).with_subgroups();
    let launch = launch.texels(caps, &["image", "weight"]);
    let mut launch = linear(costed(launch, s, direction), units, 8);
    launch.grid[2] = phases[0] * phases[1] * s.groups * out.div_ceil(c);
    p.push_reading(launch, &[Arg::In(0), packed, Arg::Out(0)], &[Arg::In(0), packed]);
    p
}

/// Backward-weights: blocks of 32 taps and 32 output channels, the batch's rows cut into shares.
fn weights(s: &Conv2d, caps: &Caps) -> Program {
    let taps = (s.ci / s.groups * s.kh * s.kw).div_ceil(32);
    let channels = s.groups * (s.co / s.groups).div_ceil(32);
    let parts = shares(taps * channels, s.n * s.out_hw().0);
    let launch = geometry(Launch::new(GATHER_WEIGHTS, "main"), s)
        .with_subgroups()
        .texels(caps, &["x", "dy"])
        .grid(taps, channels, parts);
    split(s, costed(launch, s, Direction::BackwardWeights), parts, &OPERANDS[..1], caps)
}

/// The constants and the include of a kernel that gathers by phases (`phases.wgsl`).
pub(super) fn phased(launch: Launch, s: &Conv2d, direction: Direction) -> Launch {
    let data = direction == Direction::BackwardData;
    let step = |i: usize| if data { s.stride[i] / gcd(s.stride[i], s.dilation[i]) } else { 1 };
    geometry(launch, s)
        .constant("DATA", data)
        .constant("TAP_STEP_H", step(0))
        .constant("TAP_STEP_W", step(1))
        .part("phases", PHASES)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
