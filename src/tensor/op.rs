//! What an op must say: its launches, and its gradient as further ops.

use super::{DType, Shape, Tensor};
use crate::error::Result;
use evenkeel_kernels::{Caps, Program};
use std::fmt::Debug;
use std::rc::Rc;

/// One application of an op: inputs, and the shapes of its outputs.
#[derive(Debug)]
pub struct Node {
    pub(crate) id: u64,
    pub(crate) op: Rc<dyn Op>,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<(Shape, DType)>,
}

/// A differentiable op. Its file in `ops/` also holds the function that checks shapes and records it.
pub trait Op: Debug {
    /// The public name, such as `conv2d`.
    fn name(&self) -> &'static str;

    /// The launches that compute the outputs from the inputs (`Arg::In(i)`, `Arg::Out(i)`).
    fn program(&self, node: &Node, caps: &Caps) -> Program;

    /// The gradient of each input given those of the outputs (the contract: every gradient returned
    /// is a function of `gradients.outputs`, which need not be 1 and may be missing).
    ///
    /// # Errors
    /// An op without a gradient says so.
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>>;

    /// The output is the input under another shape; nothing is launched.
    fn is_view(&self) -> bool {
        false
    }

    /// The output is made with other ranks: computed again, it would be asked of them again.
    fn exchanges(&self) -> bool {
        false
    }

    /// The value of every element, for a constant.
    fn constant(&self) -> Option<f32> {
        None
    }
}

/// What a backward is given: the node's outputs (to reuse saved values) and their gradients.
pub struct Gradients {
    /// The node's outputs.
    pub values: Vec<Tensor>,
    /// d loss / d output, where the loss depends on it.
    pub outputs: Vec<Option<Tensor>>,
}

impl Gradients {
    /// The gradient of output 0; a node is visited only when some output has one.
    pub fn first(&self) -> Option<&Tensor> {
        self.outputs[0].as_ref()
    }
}

impl Node {
    /// The same op on other inputs.
    pub(crate) fn with_inputs(&self, id: u64, inputs: Vec<Tensor>) -> Node {
        Node { id, op: self.op.clone(), inputs, outputs: self.outputs.clone() }
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// Shape and type of each output.
    pub fn outputs(&self) -> &[(Shape, DType)] {
        &self.outputs
    }

    /// Input i's extents as the kernels take them.
    pub(crate) fn in32(&self, i: usize) -> Vec<u32> {
        self.inputs[i].dims32()
    }

    /// Output i's extents as the kernels take them.
    pub(crate) fn out32(&self, i: usize) -> Vec<u32> {
        self.outputs[i].0.dims().iter().map(|d| *d as u32).collect()
    }
}
