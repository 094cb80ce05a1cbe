//! 2-D convolution over NCHW `f32`: forward, backward-data and backward-weights.
//!
//! [`variants`] lists what can run a shape on a device, best guess first; [`program`] builds the
//! launches. Every variant overwrites its whole output, adds in a fixed order and takes the batch
//! size from the lengths of its bindings, so a smaller last batch reuses the same pipelines.

mod direct;
mod gather;
mod pointwise;
mod rows;
mod tiled;

use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

/// The shape of a convolution: `x[n,ci,h,w]`, `weight[co,ci/groups,kh,kw]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Batch size.
    pub n: u32,
    /// Input channels.
    pub ci: u32,
    /// Input height.
    pub h: u32,
    /// Input width.
    pub w: u32,
    /// Output channels.
    pub co: u32,
    /// Kernel height.
    pub kh: u32,
    /// Kernel width.
    pub kw: u32,
    /// Step between outputs, rows and columns.
    pub stride: [u32; 2],
    /// Zeros added on each side, rows and columns.
    pub pad: [u32; 2],
    /// Step between taps, rows and columns.
    pub dilation: [u32; 2],
    /// Groups of channels that do not mix.
    pub groups: u32,
}

/// Which of the three products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `In(0)` = x, `In(1)` = weight, `Out(0)` = y.
    Forward,
    /// `In(0)` = dy, `In(1)` = weight, `Out(0)` = dx.
    BackwardData,
    /// `In(0)` = x, `In(1)` = dy, `Out(0)` = dweight.
    BackwardWeights,
}

/// A way to compute a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// By definition: portable, any shape.
    Direct,
    /// Implicit GEMM in workgroup tiles: portable, any shape, made for real GPUs.
    Tiled,
    /// The same tiles of `f16`, whose products are added up as `f32`.
    TiledHalf,
    /// 3x3 with stride 1 or 2 among 8 lanes of a subgroup: rows of pixels in lanes, weights by shuffle.
    Rows,
    /// 1x1 as a matrix product among 8 lanes of a subgroup.
    Pointwise,
    /// Any shape among 8 lanes of a subgroup: pixels gathered one by one, weights by shuffle.
    Gather,
}

impl Variant {
    /// All variants.
    pub const ALL: [Variant; 6] = [
        Variant::Direct,
        Variant::Tiled,
        Variant::TiledHalf,
        Variant::Rows,
        Variant::Pointwise,
        Variant::Gather,
    ];

    /// The variant's name, as tables and the command line write it.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Direct => "direct",
            Variant::Tiled => "tiled",
            Variant::TiledHalf => "tiled-f16",
            Variant::Rows => "rows",
            Variant::Pointwise => "pointwise",
            Variant::Gather => "gather",
        }
    }

    /// The variant of a name.
    pub fn from_name(name: &str) -> Option<Variant> {
        Variant::ALL.into_iter().find(|v| v.name() == name)
    }
}

impl Conv2d {
    /// Height and width of the output; zero where the kernel does not fit.
    pub fn out_hw(&self) -> (u32, u32) {
        let out = |size: u32, k: u32, i: usize| {
            let span = self.dilation[i] * (k - 1) + 1;
            (size + 2 * self.pad[i]).checked_sub(span).map_or(0, |d| d / self.stride[i] + 1)
        };
        (out(self.h, self.kh, 0), out(self.w, self.kw, 1))
    }

    /// Words of `x`.
    pub fn x_words(&self) -> usize {
        words([self.n, self.ci, self.h, self.w])
    }

    /// Words of `weight`.
    pub fn weight_words(&self) -> usize {
        words([self.co, self.ci / self.groups, self.kh, self.kw])
    }

    /// Words of `y`.
    pub fn y_words(&self) -> usize {
        let (ho, wo) = self.out_hw();
        words([self.n, self.co, ho, wo])
    }

    /// Floating-point operations of any of the three directions.
    pub fn flops(&self) -> u64 {
        2 * self.y_words() as u64 * words([1, self.ci / self.groups, self.kh, self.kw]) as u64
    }
}

/// All variants that can run `shape` on a device with `caps`; the first is the choice for it.
pub fn variants(shape: &Conv2d, direction: Direction, caps: &Caps) -> Vec<Variant> {
    let _ = direction;
    let mut found = Vec::new();
    let halves = caps.half_products && caps.f16;
    // In mixed precision nothing else, whatever was measured best of those of floats; but a software device
    // gains nothing by halves, and takes them only when asked to by name.
    if halves && !caps.software {
        return vec![Variant::TiledHalf];
    }
    if caps.shuffles_among_8() {
        if rows::fits(shape) {
            found.push(Variant::Rows);
        }
        if pointwise::fits(shape) {
            found.push(Variant::Pointwise);
        }
        found.push(Variant::Gather);
    }
    if caps.software {
        found.extend([Variant::Direct, Variant::Tiled]);
        found.extend(halves.then_some(Variant::TiledHalf));
    } else {
        found.splice(0..0, [Variant::Tiled]);
        found.push(Variant::Direct);
    }
    found
}

/// The launches that compute one direction of a convolution.
pub fn program(shape: &Conv2d, direction: Direction, variant: Variant, caps: &Caps) -> Program {
    match variant {
        Variant::Direct => direct::program(shape, direction, caps),
        Variant::Tiled => tiled::program(shape, direction, false, caps),
        Variant::TiledHalf => tiled::program(shape, direction, true, caps),
        Variant::Rows => rows::program(shape, direction, caps),
        Variant::Pointwise => pointwise::program(shape, direction, caps),
        Variant::Gather => gather::program(shape, direction, caps),
    }
}

fn words(dims: [u32; 4]) -> usize {
    dims.iter().map(|d| *d as usize).product()
}

/// Writes a shape's constants, all but the batch size, at the head of a launch.
fn geometry(launch: Launch, s: &Conv2d) -> Launch {
    let (ho, wo) = s.out_hw();
    launch
        .constant("CI", s.ci)
        .constant("H", s.h)
        .constant("W", s.w)
        .constant("CO", s.co)
        .constant("HO", ho)
        .constant("WO", wo)
        .constant("KH", s.kh)
        .constant("KW", s.kw)
        .constant("SH", s.stride[0])
        .constant("SW", s.stride[1])
        .constant("PH", s.pad[0])
        .constant("PW", s.pad[1])
        .constant("DH", s.dilation[0])
        .constant("DW", s.dilation[1])
        .constant("GROUPS", s.groups)
}

/// The bytes a direction must read and write: each operand once.
fn traffic(s: &Conv2d, direction: Direction) -> (u64, u64) {
    let (x, w, y) = (s.x_words() as u64, s.weight_words() as u64, s.y_words() as u64);
    match direction {
        Direction::Forward => (4 * (x + w), 4 * y),
        Direction::BackwardData => (4 * (y + w), 4 * x),
        Direction::BackwardWeights => (4 * (x + y), 4 * w),
    }
}

/// Costs the launch that does a direction's arithmetic.
fn costed(launch: Launch, s: &Conv2d, direction: Direction) -> Launch {
    let (read, written) = traffic(s, direction);
    launch.cost(s.flops(), read, written)
}

/// A launch whose workgroups lie in one line; `threads` invocations in workgroups of `size`.
fn linear(launch: Launch, threads: usize, size: usize) -> Launch {
    let groups = threads.div_ceil(size).try_into().unwrap_or(u32::MAX);
    Launch { grid: linear_grid(groups), ..launch }
}

const PACK: Source = source!("conv2d/pack.wgsl");
const SUM_PARTIALS: Source = source!("conv2d/sum_partials.wgsl");

/// Backward-weights' operands.
const OPERANDS: [Arg; 2] = [Arg::In(0), Arg::In(1)];

/// Finishes backward-weights: `launch`, which asks for the length of `again`, writes `parts` sums over shares of the
/// batch, one after another; with more than one they go to a temporary and a second launch adds them up.
fn split(s: &Conv2d, launch: Launch, parts: u32, again: &[Arg], caps: &Caps) -> Program {
    let mut p = Program::default();
    if parts <= 1 {
        p.push_reading(launch, &[OPERANDS[0], OPERANDS[1], Arg::Out(0)], again);
        return p;
    }
    let len = s.weight_words();
    let partial = p.temp(len * parts as usize);
    p.push_reading(launch, &[OPERANDS[0], OPERANDS[1], partial], again);
    let (all, one) = (len as u64 * u64::from(parts), len as u64);
    let sum = Launch::new(SUM_PARTIALS, "main").texels(caps, &["partial"]);
    let sum = linear(sum, len, 64).cost(all - one, 4 * all, 4 * one);
    p.push_reading(sum, &[partial, Arg::Out(0)], &[partial]);
    p
}

/// How the subgroup kernels want the weights: see `pack.wgsl`.
struct Weights {
    transpose: bool,
    flip: bool,
    block: u32,
}

/// Appends the launch that packs `In(1)` and returns the temporary it fills.
fn pack(p: &mut Program, s: &Conv2d, how: Weights, caps: &Caps) -> Arg {
    let (gi, go) = (s.ci / s.groups, s.co / s.groups);
    let (input, output) = if how.transpose { (go, gi) } else { (gi, go) };
    let taps = s.kh * s.kw;
    let written = words([s.groups, output.div_ceil(how.block) * how.block, 1, 1]);
    let row = (input * taps) as usize;
    let len = written * row;
    let straight = !how.transpose && !how.flip;
    let invocations = if straight { written / 4 * row.div_ceil(4) } else { len / 4 };
    let packed = p.temp(len);
    let launch = Launch::new(PACK, "main")
        .constant("IN", input)
        .constant("OUT", output)
        .constant("TAPS", taps)
        .constant("C", how.block)
        .constant("TRANSPOSE", how.transpose)
        .constant("FLIP", how.flip)
        .texels(caps, &["weight"])
        .cost(0, 4 * s.weight_words() as u64, 4 * len as u64);
    p.push(linear(launch, invocations, 64), [Arg::In(1), packed]);
    packed
}

/// Into how many shares backward-weights on subgroups cuts `units` of work so that, times `blocks`,
/// the cores of a software device are evenly busy.
fn shares(blocks: u32, units: u32) -> u32 {
    const WORKGROUPS: u32 = 16;
    WORKGROUPS.div_ceil(blocks).min(units.div_ceil(4))
}
