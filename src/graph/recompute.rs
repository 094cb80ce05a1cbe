//! Activation recomputation (Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016): backward reads
//! what a segment of the forward pass made not from where it was left, but computed again just before, so
//! that a plan can give its memory away in between.
//!
//! What is read outside its segment stays, what is small (batch statistics), and what comes from other ranks. The rest is recorded once
//! more at its first use by backward: the same ops on the same values, hence the same bits. Later nodes have
//! larger ids, so a plan runs them where they were recorded.

use super::backward::Nodes;
use crate::gpu::Gpu;
use crate::tensor::{Node, Segment, Source, Tensor, ValueId};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// An output this much smaller than its node's largest stays.
const SMALL: usize = 16;

/// The segments' values as backward gets to see them.
pub(super) struct Recompute<'a> {
    segments: &'a [Segment],
    kept: HashSet<ValueId>,
    again: HashMap<ValueId, Tensor>,
}

impl<'a> Recompute<'a> {
    /// For the gradient of `roots`, whose ancestors `nodes` are.
    pub fn new<'t>(
        segments: &'a [Segment],
        nodes: &Nodes,
        roots: impl Iterator<Item = &'t Tensor>,
    ) -> Self {
        let mut kept: HashSet<ValueId> = roots.map(Tensor::id).collect();
        for (id, node) in nodes.iter().filter(|_| !segments.is_empty()) {
            let own = segments.iter().find(|s| s.holds(*id));
            // A view is where what it shows is: what reads it reads that.
            let reads = node.inputs.iter().filter(|t| own.is_none_or(|own| !own.made(t)));
            kept.extend(reads.map(Tensor::id));
            if own.is_some() {
                let largest = node.outputs.iter().map(|(shape, _)| shape.len()).max().unwrap_or(0);
                let stays =
                    |i: &usize| node.op.exchanges() || node.outputs[*i].0.len() * SMALL <= largest;
                let outputs = (0..node.outputs.len()).filter(stays);
                kept.extend(outputs.map(|output| ValueId { node: *id, output }));
            }
        }
        Recompute { segments, kept, again: HashMap::new() }
    }

    /// A node and its outputs (`values`), with whatever is computed again in place of what it was computed
    /// from at first.
    pub fn of(
        &mut self,
        gpu: &Rc<Gpu>,
        node: &Rc<Node>,
        values: Vec<Tensor>,
    ) -> (Rc<Node>, Vec<Tensor>) {
        if !self.segments.iter().any(|s| s.holds(node.id)) {
            return (node.clone(), values);
        }
        let values = values.iter().map(|v| self.value(gpu, v)).collect();
        let inputs = node.inputs.iter().map(|t| self.value(gpu, t)).collect();
        (Rc::new(node.with_inputs(node.id, inputs)), values)
    }

    /// A value, or the same computed again.
    fn value(&mut self, gpu: &Rc<Gpu>, tensor: &Tensor) -> Tensor {
        let Source::Node(node, output) = tensor.source() else { return tensor.clone() };
        if self.kept.contains(&tensor.id()) || !self.segments.iter().any(|s| s.holds(node.id)) {
            return tensor.clone();
        }
        if let Some(made) = self.again.get(&tensor.id()) {
            return made.clone();
        }
        let inputs = node.inputs.iter().map(|t| self.value(gpu, t)).collect();
        let made = Tensor::record_again(gpu, node, inputs);
        for (i, value) in made.iter().enumerate() {
            self.again.insert(ValueId { node: node.id, output: i }, value.clone());
        }
        made[*output].clone()
    }
}
