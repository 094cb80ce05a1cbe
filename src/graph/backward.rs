//! Reverse mode: from a loss back through the recorded nodes, emitting each op's gradient as nodes
//! of ordinary ops; a value used several times gets the sum.

use super::recompute::Recompute;
use crate::error::{Error, Result};
use crate::ops;
use crate::tensor::{Gradients, Node, Segment, Source, Tensor, ValueId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

/// d loss / d each of `wrt`; `None` where the loss does not depend on it.
///
/// # Errors
/// A loss that is not one element, or an op without a gradient on the way.
pub fn grad(loss: &Tensor, wrt: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
    grad_again(loss, wrt, &[])
}

/// [`grad`], for which what is inside each of `segments` is computed again.
///
/// # Errors
/// As [`grad`].
pub fn grad_again(
    loss: &Tensor,
    wrt: &[&Tensor],
    segments: &[Segment],
) -> Result<Vec<Option<Tensor>>> {
    if loss.shape().len() != 1 {
        let message = format!("the loss must be one element, not {}", loss.shape());
        return Err(Error::Shape { op: "grad", message });
    }
    let one = ops::fill(loss.gpu(), loss.shape().clone(), 1.0);
    walk(&[(loss.clone(), one)], wrt, segments)
}

/// Vector-Jacobian product: Σ over `outputs` of gradientᵀ · d output / d each of `wrt`.
///
/// # Errors
/// A gradient whose shape is not its output's, or an op without a gradient on the way.
pub fn vjp(outputs: &[(Tensor, Tensor)], wrt: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
    walk(outputs, wrt, &[])
}

/// Nodes by id.
pub(super) type Nodes = BTreeMap<u64, Rc<Node>>;

// ANCHOR: walk
fn walk(
    outputs: &[(Tensor, Tensor)],
    wrt: &[&Tensor],
    segments: &[Segment],
) -> Result<Vec<Option<Tensor>>> {
    let targets: HashSet<ValueId> = wrt.iter().map(|t| t.id()).collect();
    let nodes = ancestors(outputs.iter().map(|(t, _)| t));
    let relevant = depending(&nodes, &targets);
    let mut recompute = Recompute::new(segments, &nodes, outputs.iter().map(|(t, _)| t));
    let mut found: HashMap<ValueId, Vec<Tensor>> = HashMap::new();
    for (value, gradient) in outputs {
        if value.shape() != gradient.shape() {
            let message = format!("{} for an output of {}", gradient.shape(), value.shape());
            return Err(Error::Shape { op: "grad", message });
        }
        found.entry(value.id()).or_default().push(gradient.clone());
    }
    let mut totals: HashMap<ValueId, Tensor> = HashMap::new();
    for (id, node) in nodes.iter().rev() {
        if !relevant.contains(id) {
            continue;
        }
        let gpu = node_gpu(node, outputs);
        let values = Tensor::siblings(&gpu, node);
        let gradients: Vec<Option<Tensor>> =
            values.iter().map(|v| total(&mut found, &mut totals, v.id())).collect::<Result<_>>()?;
        if gradients.iter().all(Option::is_none) {
            continue;
        }
        let (again, values) = recompute.of(&gpu, node, values);
        let context = Gradients { values, outputs: gradients };
        let to_inputs = node.op.backward(&again, &context)?;
        for (input, gradient) in node.inputs.iter().zip(to_inputs) {
            if let Some(gradient) = gradient
                && needs(input, &relevant, &targets)
            {
                debug_assert_eq!(input.shape(), gradient.shape(), "{}", node.op.name());
                found.entry(input.id()).or_default().push(gradient);
            }
        }
    }
    wrt.iter().map(|t| total(&mut found, &mut totals, t.id())).collect()
}
// ANCHOR_END: walk

fn node_gpu(node: &Node, outputs: &[(Tensor, Tensor)]) -> Rc<crate::gpu::Gpu> {
    node.inputs.first().unwrap_or(&outputs[0].0).gpu().clone()
}

/// The sum of what was found for a value, made once.
fn total(
    found: &mut HashMap<ValueId, Vec<Tensor>>,
    totals: &mut HashMap<ValueId, Tensor>,
    id: ValueId,
) -> Result<Option<Tensor>> {
    if let Some(parts) = found.remove(&id) {
        let sum = ops::sum_of(&parts)?;
        totals.insert(id, sum);
    }
    Ok(totals.get(&id).cloned())
}

/// Every node behind `roots`, by id: a topological order.
pub(super) fn ancestors<'a>(roots: impl Iterator<Item = &'a Tensor>) -> Nodes {
    let mut nodes = BTreeMap::new();
    let mut stack: Vec<Tensor> = roots.cloned().collect();
    while let Some(tensor) = stack.pop() {
        if let Source::Node(node, _) = tensor.source()
            && nodes.insert(node.id, node.clone()).is_none()
        {
            stack.extend(node.inputs.iter().cloned());
        }
    }
    nodes
}

/// The nodes that have a target among their ancestors or outputs.
fn depending(nodes: &Nodes, targets: &HashSet<ValueId>) -> HashSet<u64> {
    let mut relevant = HashSet::new();
    for (id, node) in nodes {
        if node.inputs.iter().any(|t| needs(t, &relevant, targets)) {
            relevant.insert(*id);
        }
    }
    relevant
}

fn needs(input: &Tensor, relevant: &HashSet<u64>, targets: &HashSet<ValueId>) -> bool {
    relevant.contains(&input.id().node) || targets.contains(&input.id())
}
