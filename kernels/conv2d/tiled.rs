//! Implicit GEMM in workgroup tiles, portable, for real GPUs (`tiled.wgsl`); with tiles of floats, or of halves
//! where the device has them.

use super::{Conv2d, Direction, OPERANDS, costed, gather::phased, geometry, split};
use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

const TILED: Source = source!("conv2d/tiled.wgsl");
const GATHER: Source = source!("conv2d/tiled_gather.wgsl");
const WEIGHTS: Source = source!("conv2d/tiled_weights.wgsl");
const NUMBERS: [Source; 2] =
    [source!("conv2d/numbers_f32.wgsl"), source!("conv2d/numbers_f16.wgsl")];
const PRODUCTS: [Source; 2] =
    [source!("conv2d/products_f32.wgsl"), source!("conv2d/products_f16.wgsl")];

/// A workgroup's tile, rows x columns, and the slice of k it holds: 128 or 256 invocations and at
/// most 12 KiB of workgroup memory. Few rows (channels) are met by more columns.
struct Tile {
    m: u32,
    p: u32,
    k: u32,
}

impl Tile {
    fn of(rows: u32) -> Tile {
        match rows {
            0..=16 => Tile { m: 16, p: 256, k: 8 },
            17..=32 => Tile { m: 32, p: 128, k: 16 },
            _ => Tile { m: 64, p: 128, k: 16 },
        }
    }

    fn constants(&self, launch: Launch) -> Launch {
        launch.constant("TM", self.m).constant("TP", self.p).constant("KT", self.k)
    }

    fn count(&self, rows: u32, columns: u64) -> u32 {
        let tiles = columns.div_ceil(self.p.into()) * u64::from(rows.div_ceil(self.m));
        tiles.try_into().unwrap_or(u32::MAX)
    }
}

/// The kernel with tiles of `f16` (`halves`) or `f32`.
fn tiled(halves: bool) -> Launch {
    let i = usize::from(halves);
    let mut launch =
        Launch::new(TILED, "main").part("numbers", NUMBERS[i]).part("products", PRODUCTS[i]);
    launch.f16 = halves;
    launch
}

pub(super) fn program(s: &Conv2d, direction: Direction, halves: bool, caps: &Caps) -> Program {
    if direction == Direction::BackwardWeights {
        return weights(s, halves, caps);
    }
    let data = direction == Direction::BackwardData;
    let (ho, wo) = s.out_hw();
    let (out, size) = if data { (s.ci, [s.h, s.w]) } else { (s.co, [ho, wo]) };
    let phases = if data { s.stride } else { [1, 1] };
    let lattice = [size[0].div_ceil(phases[0]), size[1].div_ceil(phases[1])];
    let columns = u64::from(s.n) * u64::from(lattice[0]) * u64::from(lattice[1]);
    let rows = out / s.groups;
    let tile = Tile::of(rows);
    let launch = phased(tiled(halves), s, direction).part("operands", GATHER);
    let mut launch = costed(tile.constants(launch), s, direction);
    launch.grid = linear_grid(tile.count(rows, columns));
    launch.grid[2] = phases[0] * phases[1] * s.groups;
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)])
}

/// Backward-weights: the sum over the batch's positions is cut into shares until there are enough
/// workgroups for a large GPU, each share at least 512 positions long.
fn weights(s: &Conv2d, halves: bool, caps: &Caps) -> Program {
    const WORKGROUPS: u32 = 512;
    const POSITIONS: u32 = 512;
    let (ho, wo) = s.out_hw();
    let rows = s.co / s.groups;
    let columns = u64::from(s.ci / s.groups * s.kh * s.kw);
    let tile = Tile::of(rows);
    let tiles = tile.count(rows, columns);
    let positions = s.n * ho * wo;
    let shares = WORKGROUPS.div_ceil(tiles * s.groups).min(positions.div_ceil(POSITIONS));
    let launch = geometry(tiled(halves), s).part("operands", WEIGHTS);
    let mut launch = costed(tile.constants(launch), s, Direction::BackwardWeights);
    launch.grid = linear_grid(tiles);
    launch.grid[2] = shares * s.groups;
    split(s, launch, shares, &OPERANDS, caps)
}
