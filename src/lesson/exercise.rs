//! What an exercise for a kernel says of itself: bindings, sizes, grid, the inputs it is tried on, what
//! should come out, what it costs, and how the engine does the same.

use crate::check::cases::{Fill, InputSpec};
use crate::check::golden::Tolerance;
use crate::check::reference::Array;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::{Effect, Work};
use crate::tensor::Tensor;
use evenkeel_kernels::{Arg, Cost, Program};
use std::rc::Rc;

/// The entry point of every answer.
pub const ENTRY: &str = "main";

/// An exercise that asks for a kernel. Functions take the sizes in the order of `sizes`.
pub struct Exercise {
    /// The text to start from.
    pub starter: &'static str,
    /// Names of the constants that hold the sizes.
    pub sizes: &'static [&'static str],
    /// Bindings from 0: what is read.
    pub inputs: &'static [&'static str],
    /// The bindings behind the inputs: what is written.
    pub outputs: &'static [&'static str],
    /// How many workgroups are launched.
    pub grid: Grid,
    /// What it is tried on; the last is also timed.
    pub trials: fn() -> Vec<Trial>,
    /// The outputs in 64 bits.
    pub expected: fn(&[u32], &[Array]) -> Result<Vec<Array>>,
    /// FLOPs, and the bytes of every input and output once.
    pub cost: fn(&[u32]) -> Cost,
    /// The engine's own work for the same, given the inputs.
    pub engine: Engine,
}

/// Work on a device for some sizes and inputs.
pub type Engine = fn(&Rc<Gpu>, &[u32], &[Tensor]) -> Result<Work>;

/// How a kernel is launched.
#[derive(Clone, Copy)]
pub enum Grid {
    /// At least so many invocations in x, y, z, whatever the kernel's workgroup size; a constant
    /// `TILE_X`, `TILE_Y` or `TILE_Z` of the kernel says how many of them one invocation stands for.
    Invocations(fn(&[u32]) -> [u32; 3]),
    /// So many workgroups.
    Workgroups(fn(&[u32]) -> [u32; 3]),
}

/// One set of inputs.
pub struct Trial {
    /// Values of the sizes.
    pub sizes: Vec<u32>,
    /// What is special about it, or nothing.
    pub note: &'static str,
    /// Shapes and values of the inputs.
    pub inputs: Vec<InputSpec>,
    /// How far an output may be off.
    pub tolerance: Tolerance,
}

impl Trial {
    /// A trial within the usual tolerance.
    pub fn new(sizes: &[u32], inputs: impl Into<Vec<InputSpec>>) -> Self {
        let tolerance = Tolerance { rtol: 1e-5, atol: 1e-5 };
        Trial { sizes: sizes.to_vec(), note: "", inputs: inputs.into(), tolerance }
    }

    /// With a word on what is special.
    pub fn note(self, note: &'static str) -> Self {
        Trial { note, ..self }
    }

    /// With another tolerance.
    pub fn within(self, rtol: f64, atol: f64) -> Self {
        Trial { tolerance: Tolerance { rtol, atol }, ..self }
    }
}

/// Normal values with mean 0.
pub fn normal(shape: impl Into<Vec<usize>>, sd: f64) -> InputSpec {
    about(shape, 0.0, sd)
}

/// Normal values.
pub fn about(shape: impl Into<Vec<usize>>, mean: f64, sd: f64) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Normal { mean, sd } }
}

/// One value everywhere.
pub fn constant(shape: impl Into<Vec<usize>>, value: f64) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Constant(value) }
}

/// Sizes as extents.
pub fn extents(sizes: &[u32]) -> Vec<usize> {
    sizes.iter().map(|n| *n as usize).collect()
}

/// A cost: `flops`, and all the elements of the inputs and of the outputs once, of four bytes.
pub fn cost(flops: u64, read: u64, written: u64) -> Cost {
    Cost { flops, read: 4 * read, written: 4 * written }
}

/// The product of sizes.
pub fn product(sizes: &[u32]) -> u64 {
    sizes.iter().map(|n| u64::from(*n)).product()
}

/// A program's work on leaves: its outputs become leaves too, of so many words.
pub fn effect(
    gpu: &Rc<Gpu>,
    mut program: Program,
    inputs: &[Tensor],
    outputs: &[usize],
) -> Result<Work> {
    let mut args = inputs.to_vec();
    for words in outputs {
        args.push(Tensor::new(gpu, &vec![0.0; *words], [*words])?);
    }
    for call in &mut program.calls {
        for arg in &mut call.args {
            if let Arg::Out(i) = *arg {
                *arg = Arg::In(inputs.len() + i);
            }
        }
    }
    let mut work = Work::new();
    work.effect(Effect { name: "lesson", program, args });
    Ok(work)
}
