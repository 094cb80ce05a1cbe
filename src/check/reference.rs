//! What each op means: its forward and its gradient on the CPU in 64-bit floats.
//!
//! Written to be read beside an equation, not to be fast. Every kernel is measured against
//! [`run`] and [`grads`]; they are themselves held to PyTorch (golden files) and to finite
//! differences (the tests of this module). Inputs come in `torch.nn.functional`'s argument order
//! and attributes bear its argument names; `docs/golden.md` lists them all.

pub(in crate::check) mod attrs;
mod conv;
mod dense;
mod elementwise;
mod norm;
mod pool;
mod shape;
mod softmax;
#[cfg(test)]
mod tests;
mod unary;

use crate::error::{Error, Result, unknown};
use attrs::Attrs;
pub use norm::unit_gradient;
use serde_json::Value;

/// The most elements an output may have here: a file's attributes can't ask for all of memory.
const MAX_LEN: usize = 1 << 24;
/// The most axes an array may have.
const MAX_RANK: usize = 8;

/// Numbers in row-major order; integers (labels) are whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, as many as the product of the extents.
    pub data: Vec<f64>,
}

impl Array {
    /// An array of the given extents and elements (which must agree: [`run`] checks).
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f64>) -> Self {
        Array { shape: shape.into(), data }
    }

    /// A scalar: no axes, one element.
    pub fn scalar(value: f64) -> Self {
        Array { shape: Vec::new(), data: vec![value] }
    }

    /// As many zeros as this array has elements, in its shape.
    pub fn zeros_like(&self) -> Self {
        Array { shape: self.shape.clone(), data: vec![0.0; self.data.len()] }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Zeros of the extents `shape`, for `op`'s output.
    fn zeros(op: &'static str, shape: Vec<usize>) -> Result<Self> {
        match shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) {
            Some(len @ 1..=MAX_LEN) => Ok(Array { shape, data: vec![0.0; len] }),
            _ => Err(misfit(op, format!("the output {shape:?} would be empty or too large here"))),
        }
    }
}

type Forward = fn(&Attrs<'_>, &[Array]) -> Result<Vec<Array>>;
type Backward = fn(&Attrs<'_>, &[Array], &Array) -> Result<Vec<Option<Array>>>;

/// An op's public face, and its two functions.
#[derive(Debug)]
pub struct OpInfo {
    /// The public name.
    pub name: &'static str,
    /// The inputs, in order.
    pub inputs: &'static [&'static str],
    /// How many of the inputs must be there; the others may be left out from the end.
    pub required: usize,
    /// The attributes it understands.
    pub attrs: &'static [&'static str],
    /// The outputs, in order. Only the first has a gradient.
    pub outputs: &'static [&'static str],
    /// Inputs that never get a gradient: targets, running statistics, class weights.
    pub fixed: &'static [usize],
    forward: Forward,
    backward: Backward,
}

/// Every op the reference knows.
pub const OPS: &[OpInfo] = &[
    conv::CONV2D,
    dense::LINEAR,
    dense::MATMUL,
    norm::BATCH_NORM,
    norm::NORMALIZED_BATCH_NORM,
    elementwise::RELU,
    unary::ABS,
    unary::DIGAMMA_REST,
    unary::EXP,
    unary::GELU,
    unary::LOG,
    unary::NEG,
    unary::RECIPROCAL,
    unary::SIGMOID,
    unary::SOFTPLUS,
    unary::SQRT,
    unary::SQUARE,
    unary::STIRLING_REST,
    unary::TANH,
    elementwise::ADD,
    elementwise::SUB,
    elementwise::MUL,
    elementwise::DIV,
    elementwise::MAXIMUM,
    pool::MAX_POOL2D,
    pool::AVG_POOL2D,
    pool::GLOBAL_AVG_POOL,
    softmax::SOFTMAX,
    softmax::LOG_SOFTMAX,
    softmax::CROSS_ENTROPY,
    shape::SUM,
    shape::MEAN,
    shape::RESHAPE,
    shape::ROWS,
    shape::SHORTCUT_A,
];

/// The op called `name`.
///
/// # Errors
/// An unknown name, with the nearest known one.
pub fn op(name: &str) -> Result<&'static OpInfo> {
    OPS.iter().find(|o| o.name == name).ok_or_else(|| {
        let names: Vec<&str> = OPS.iter().map(|o| o.name).collect();
        unknown("op", name, &names)
    })
}

/// The outputs of `op` for `inputs`.
///
/// # Errors
/// An unknown op or attribute, by name; a number, shape or value of inputs that does not fit.
pub fn run(op: &str, attrs: &Value, inputs: &[Array]) -> Result<Vec<Array>> {
    let info = self::op(op)?;
    let attrs = Attrs::new(info.name, info.attrs, attrs)?;
    check_inputs(info, inputs)?;
    (info.forward)(&attrs, inputs)
}

/// The gradient of each input, given that of the first output (`grad_outs[0]`, in its shape):
/// `None` for an input that has none, such as a target.
///
/// # Errors
/// Those of [`run`], and a gradient of another shape than the output's.
pub fn grads(
    op: &str,
    attrs: &Value,
    inputs: &[Array],
    grad_outs: &[Array],
) -> Result<Vec<Option<Array>>> {
    let outputs = run(op, attrs, inputs)?;
    let info = self::op(op)?;
    let fits = grad_outs.first().zip(outputs.first()).filter(|(g, y)| g.shape == y.shape);
    let Some((grad, _)) = fits.filter(|(g, _)| g.data.len() == outputs[0].data.len()) else {
        return Err(misfit(
            info.name,
            format!(
                "the gradient of the output must have its shape {:?}, but the shapes given are {:?}",
                outputs.first().map(|y| &y.shape),
                grad_outs.iter().map(|g| &g.shape).collect::<Vec<_>>(),
            ),
        ));
    };
    (info.backward)(&Attrs::new(info.name, info.attrs, attrs)?, inputs, grad)
}

/// Checks the number of inputs, and that each has as many elements as its shape says.
pub(in crate::check) fn check_inputs(info: &OpInfo, inputs: &[Array]) -> Result<()> {
    if !(info.required..=info.inputs.len()).contains(&inputs.len()) {
        let (min, max) = (info.required, info.inputs.len());
        let wanted = if min == max { min.to_string() } else { format!("{min} to {max}") };
        return Err(misfit(
            info.name,
            format!(
                "takes {wanted} inputs ({}), but {} were given",
                info.inputs.join(", "),
                inputs.len()
            ),
        ));
    }
    for (name, x) in info.inputs.iter().zip(inputs) {
        let len = x.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if x.shape.len() > MAX_RANK || x.data.is_empty() || len != Some(x.data.len()) {
            return Err(misfit(
                info.name,
                format!("{name} has shape {:?} and {} elements", x.shape, x.data.len()),
            ));
        }
    }
    Ok(())
}

/// An error of shapes: the op's name and what does not fit.
fn misfit(op: &'static str, message: impl Into<String>) -> Error {
    Error::Shape { op, message: message.into() }
}

/// The extents of an input that must have `N` axes.
fn dims<const N: usize>(op: &'static str, what: &str, x: &Array) -> Result<[usize; N]> {
    x.shape.as_slice().try_into().map_err(|_| {
        misfit(op, format!("{what} must have {N} axes, but its shape is {:?}", x.shape))
    })
}

/// Checks that an input has exactly the shape `want`.
fn expect(op: &'static str, what: &str, x: &Array, want: &[usize]) -> Result<()> {
    if x.shape == want {
        return Ok(());
    }
    Err(misfit(op, format!("{what} must be {want:?}, but its shape is {:?}", x.shape)))
}
