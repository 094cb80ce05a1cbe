//! The lazy tensor: a shape, and either data on the device (a leaf) or a promise to compute it (an
//! output of a [`Node`]). Calling an op records a node and computes nothing; `graph` plans and runs.

mod op;
mod segment;
mod shape;

pub use op::{Gradients, Node, Op};
pub use segment::Segment;
pub use shape::Shape;

use crate::error::Result;
use crate::gpu::{Gpu, Slice};
use std::cell::Cell;
use std::rc::Rc;

/// What a tensor's elements are; both take four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float
    F32,
    /// 32-bit unsigned integer: labels, indices
    U32,
}

/// Identifies a value: the node or leaf that made it, and which output it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId {
    pub(crate) node: u64,
    pub(crate) output: usize,
}

/// A lazy tensor; cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Tensor(Rc<Value>);

#[derive(Debug)]
struct Value {
    id: ValueId,
    shape: Shape,
    dtype: DType,
    source: Source,
    gpu: Handle,
}

/// Where a tensor's elements come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A range of a buffer that outlives the graph: a parameter, a statistic, an input.
    Leaf(Slice),
    /// An output of a node.
    Node(Rc<Node>, usize),
}

/// A device handle that prints as its name.
#[derive(Clone)]
pub(crate) struct Handle(pub Rc<Gpu>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.info.name)
    }
}

/// A number no other node or leaf of this thread has; later ones are larger, so sorting nodes by it
/// is a topological order.
fn next_id() -> u64 {
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
    NEXT.with(|n| n.replace(n.get() + 1))
}

impl Tensor {
    /// A tensor over a range of a buffer.
    pub fn from_slice(gpu: &Rc<Gpu>, slice: Slice, shape: impl Into<Shape>, dtype: DType) -> Self {
        let shape = shape.into();
        debug_assert_eq!(slice.words, shape.len().max(1));
        Tensor(Rc::new(Value {
            id: ValueId { node: next_id(), output: 0 },
            shape,
            dtype,
            source: Source::Leaf(slice),
            gpu: Handle(gpu.clone()),
        }))
    }

    /// A float tensor holding `data`.
    ///
    /// # Errors
    /// A length that is not the shape's, or no memory for it.
    pub fn new(gpu: &Rc<Gpu>, data: &[f32], shape: impl Into<Shape>) -> Result<Self> {
        Self::with_data(gpu, data, shape.into(), DType::F32)
    }

    /// An integer tensor (labels, indices) holding `data`.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn integers(gpu: &Rc<Gpu>, data: &[u32], shape: impl Into<Shape>) -> Result<Self> {
        Self::with_data(gpu, data, shape.into(), DType::U32)
    }

    fn with_data<T: bytemuck::Pod>(
        gpu: &Rc<Gpu>,
        data: &[T],
        shape: Shape,
        dtype: DType,
    ) -> Result<Self> {
        if data.len() != shape.len() || data.is_empty() {
            let message = format!("{} elements do not make the shape {shape}", data.len());
            return Err(crate::error::Error::Shape { op: "tensor", message });
        }
        let buffer = gpu.upload("tensor", data)?;
        Ok(Self::from_slice(gpu, Slice::whole(buffer), shape, dtype))
    }

    /// Records a node: `op` on `inputs`, promising outputs of the given shapes. An op of your own is
    /// used through this (`examples/new_op.rs`).
    pub fn record<const N: usize>(
        gpu: &Rc<Gpu>,
        op: impl Op + 'static,
        inputs: Vec<Tensor>,
        outputs: [(Shape, DType); N],
    ) -> [Tensor; N] {
        let found = Self::record_all(gpu, op, inputs, outputs.to_vec());
        let mut found = found.into_iter();
        std::array::from_fn(|_| found.next().unwrap_or_else(|| unreachable!("N outputs")))
    }

    /// As [`Tensor::record`], for a number of outputs known only at run time.
    pub(crate) fn record_all(
        gpu: &Rc<Gpu>,
        op: impl Op + 'static,
        inputs: Vec<Tensor>,
        outputs: Vec<(Shape, DType)>,
    ) -> Vec<Tensor> {
        let id = next_id();
        let node = Rc::new(Node { id, op: Rc::new(op), inputs, outputs });
        (0..node.outputs.len()).map(|i| Self::of_node(gpu, &node, i)).collect()
    }

    /// Records the op of `node` once more, on `inputs`.
    pub(crate) fn record_again(gpu: &Rc<Gpu>, node: &Node, inputs: Vec<Tensor>) -> Vec<Tensor> {
        let node = Rc::new(node.with_inputs(next_id(), inputs));
        Self::siblings(gpu, &node)
    }

    fn of_node(gpu: &Rc<Gpu>, node: &Rc<Node>, output: usize) -> Self {
        let (shape, dtype) = node.outputs[output].clone();
        Tensor(Rc::new(Value {
            id: ValueId { node: node.id, output },
            shape,
            dtype,
            source: Source::Node(node.clone(), output),
            gpu: Handle(gpu.clone()),
        }))
    }

    /// All outputs of the node behind this tensor, itself among them.
    pub(crate) fn siblings(gpu: &Rc<Gpu>, node: &Rc<Node>) -> Vec<Tensor> {
        (0..node.outputs.len()).map(|i| Self::of_node(gpu, node, i)).collect()
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// Extents as a slice.
    pub fn dims(&self) -> &[usize] {
        self.0.shape.dims()
    }

    /// Extents as the kernels take them.
    pub(crate) fn dims32(&self) -> Vec<u32> {
        self.dims().iter().map(|d| *d as u32).collect()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// The device.
    pub fn gpu(&self) -> &Rc<Gpu> {
        &self.0.gpu.0
    }

    /// The value's identity.
    pub(crate) fn id(&self) -> ValueId {
        self.0.id
    }

    pub(crate) fn source(&self) -> &Source {
        &self.0.source
    }

    /// The range behind a leaf.
    pub(crate) fn leaf(&self) -> Option<&Slice> {
        match &self.0.source {
            Source::Leaf(slice) => Some(slice),
            Source::Node(..) => None,
        }
    }

    /// The value every element has, for a tensor made by `fill`.
    pub(crate) fn constant(&self) -> Option<f32> {
        match &self.0.source {
            Source::Node(node, _) => node.op.constant(),
            Source::Leaf(_) => None,
        }
    }
}
