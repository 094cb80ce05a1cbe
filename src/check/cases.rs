//! The cases every op is checked on: the one list behind the checks against the CPU reference, the
//! gradient checks, the golden files and the benches. A case added here is in all of them.
//!
//! Values are drawn by counting, not in sequence: element e of input i of a case is a function of
//! (case name, i, e) alone, so a case keeps its values whatever is added around it.

mod conv;
mod dense;
mod norm;
mod pointwise;
mod pool;
mod softmax;

use super::golden::Tolerance;
use super::reference::{Array, OPS};
use serde_json::Value;
use std::f64::consts::TAU;

/// How an input's elements are drawn. All are rounded to 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// Normal with this mean and standard deviation.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        sd: f64,
    },
    /// Uniform from `low` to `high`.
    Uniform {
        /// The least value.
        low: f64,
        /// The bound above.
        high: f64,
    },
    /// All the same.
    Constant(f64),
    /// Labels 0 to `classes` − 1, as integers.
    Labels {
        /// How many classes there are.
        classes: usize,
    },
    /// Normal with mean 0, but elements 1, 1 + `every`, 1 + 2·`every`, … are `value`.
    Spiked {
        /// Standard deviation of the others.
        sd: f64,
        /// The distance between special values.
        every: usize,
        /// The special value, such as −∞.
        value: f64,
    },
}

impl Fill {
    /// Whether the elements are integers in a file.
    pub fn integer(&self) -> bool {
        matches!(self, Fill::Labels { .. })
    }
}

/// One input of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements.
    pub fill: Fill,
}

/// An op with inputs and attributes, and how exact its results must be.
#[derive(Clone, Debug)]
pub struct Case {
    /// A stable name, `op/what is special`.
    pub name: String,
    /// The op's public name.
    pub op: &'static str,
    /// The attributes: a JSON object.
    pub attrs: Value,
    /// The inputs, in the op's order.
    pub inputs: Vec<InputSpec>,
    /// For the outputs, against the reference in 64-bit floats.
    pub tolerance: Tolerance,
    /// For the gradients.
    pub grad_tolerance: Tolerance,
    /// Whether gradients are checked: not where the outputs are not finite.
    pub grad: bool,
}

/// What a case's tolerances are when it doesn't say.
const USUAL: Tolerance = Tolerance { rtol: 1e-5, atol: 1e-5 };
/// The gradient of an output is drawn as if it were this input (plus the output's number).
const GRAD_OUT: u64 = 1000;

/// Every case, op by op.
pub fn all() -> Vec<Case> {
    [
        conv::cases(),
        dense::cases(),
        norm::cases(),
        pointwise::cases(),
        pool::cases(),
        softmax::cases(),
    ]
    .concat()
}

impl Case {
    /// A case whose name begins with its op's.
    fn new(name: impl Into<String>, attrs: Value, inputs: impl Into<Vec<InputSpec>>) -> Self {
        let name = name.into();
        let op = name.split('/').next().unwrap_or_default();
        let Some(info) = OPS.iter().find(|info| info.name == op) else {
            unreachable!("case `{name}` names no op")
        };
        let inputs = inputs.into();
        let (tolerance, grad_tolerance) = (USUAL, USUAL);
        Case { name, op: info.name, attrs, inputs, tolerance, grad_tolerance, grad: true }
    }

    /// With another tolerance for the outputs.
    fn within(mut self, rtol: f64, atol: f64) -> Self {
        self.tolerance = Tolerance { rtol, atol };
        self
    }

    /// With another tolerance for the gradients.
    fn grads_within(mut self, rtol: f64, atol: f64) -> Self {
        self.grad_tolerance = Tolerance { rtol, atol };
        self
    }

    /// With a gradient tolerance for sums of `terms` products of numbers about 1: float32 added one
    /// after the other is off by about 1e-7 per term at worst.
    fn summing(self, terms: usize) -> Self {
        let atol = (1.5e-7 * terms as f64).max(USUAL.atol);
        self.grads_within(USUAL.rtol, atol)
    }

    /// Without gradients.
    fn forward_only(mut self) -> Self {
        self.grad = false;
        self
    }

    /// The inputs' values.
    pub fn inputs(&self) -> Vec<Array> {
        drawn(&self.name, &self.inputs)
    }

    /// The gradient of each output that has one (the first): normal, so never all ones.
    pub fn grad_outs(&self, outputs: &[Array]) -> Vec<Array> {
        let normal = Fill::Normal { mean: 0.0, sd: 1.0 };
        let draw = |y: &Array| draw(&self.name, GRAD_OUT, &y.shape, &normal);
        outputs.iter().take(1).map(draw).collect()
    }
}

/// The values of inputs under a name.
pub fn drawn(name: &str, inputs: &[InputSpec]) -> Vec<Array> {
    let draw = |(i, spec): (usize, &InputSpec)| draw(name, i as u64, &spec.shape, &spec.fill);
    inputs.iter().enumerate().map(draw).collect()
}

fn draw(name: &str, input: u64, shape: &[usize], fill: &Fill) -> Array {
    let key = splitmix64(fnv1a(name) ^ splitmix64(input));
    let count = shape.iter().product::<usize>();
    let data = (0..count as u64).map(|e| f64::from(value(fill, key, e) as f32)).collect();
    Array::new(shape, data)
}

fn value(fill: &Fill, key: u64, e: u64) -> f64 {
    match *fill {
        Fill::Normal { mean, sd } => mean + sd * gauss(key, e),
        Fill::Uniform { low, high } => low + (high - low) * unit(key, e),
        Fill::Constant(v) => v,
        Fill::Labels { classes } => (unit(key, e) * classes as f64).floor(),
        Fill::Spiked { every, value, .. } if e % every as u64 == 1 => value,
        Fill::Spiked { sd, .. } => sd * gauss(key, e),
    }
}

/// Sebastiano Vigna's splitmix64: the output for the state `x`.
pub fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a, 64 bits.
fn fnv1a(text: &str) -> u64 {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Uniform in [0, 1), 53 bits.
fn unit(key: u64, counter: u64) -> f64 {
    (splitmix64(key.wrapping_add(counter)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Standard normal (Box–Muller) from the counters 2e and 2e + 1.
fn gauss(key: u64, e: u64) -> f64 {
    let (u, v) = (unit(key, 2 * e), unit(key, 2 * e + 1));
    (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos()
}

/// A standard normal input.
fn normal(shape: impl Into<Vec<usize>>) -> InputSpec {
    scaled(shape, 0.0, 1.0)
}

/// A normal input.
fn scaled(shape: impl Into<Vec<usize>>, mean: f64, sd: f64) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Normal { mean, sd } }
}

/// An input that is the same everywhere.
fn constant(shape: impl Into<Vec<usize>>, value: f64) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Constant(value) }
}

/// An input between 0.5 and 2: a variance, a class weight.
fn positive(shape: impl Into<Vec<usize>>) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Uniform { low: 0.5, high: 2.0 } }
}

/// Normal but for a special value at every so many elements.
fn spiked(shape: impl Into<Vec<usize>>, sd: f64, every: usize, value: f64) -> InputSpec {
    InputSpec { shape: shape.into(), fill: Fill::Spiked { sd, every, value } }
}

/// `rows` labels.
fn labels(rows: usize, classes: usize) -> InputSpec {
    InputSpec { shape: vec![rows], fill: Fill::Labels { classes } }
}
