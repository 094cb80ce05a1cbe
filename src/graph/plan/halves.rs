//! Values of the forward pass that only the backward pass still needs wait for it as halves: in half their
//! memory, at the price of two launches each, and of gradients by activations that are rounded to 11 bits.
//! The forward pass, parameters, their gradients and the update stay as they are.
//!
//! Items in order → behind a value's last reader of the forward pass an item that halves it, before its first
//! of the backward pass one that restores it for it and those that follow.

use super::{Item, base};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Slice};
use crate::graph::Work;
use crate::tensor::{DType, Gradients, Node, Op, Tensor, ValueId};
use evenkeel_kernels::elementwise::{self, EIGHT};
use evenkeel_kernels::{Caps, Program};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Values of fewer words wait as they are.
const WORDS: usize = 4096;
/// Items between the two readers for which halving is worth its launches.
const WAIT: usize = 8;

/// `items` with what `work` lets wait as halves.
pub(super) fn halved(
    gpu: &Rc<Gpu>,
    mut items: Vec<Item>,
    work: &Work,
    pinned: &HashMap<ValueId, Slice>,
) -> Vec<Item> {
    let Some(loss) = work.halves_until.as_ref().map(|loss| base(loss).id()) else { return items };
    let made = |item: &Item| item.outs.iter().any(|(id, _)| *id == loss);
    let Some(end) = items.iter().position(made) else { return items };
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        for tensor in &item.ins {
            readers.entry(base(tensor).id()).or_default().push(at);
        }
    }
    let kept: HashSet<ValueId> = work.keep.iter().map(|t| base(t).id()).collect();
    let (mut before, mut behind): (HashMap<usize, Vec<Item>>, HashMap<usize, Vec<Item>>) =
        Default::default();
    for at in 0..=end {
        let Some(node) = items[at].node.clone() else { continue };
        for value in Tensor::siblings(gpu, &node) {
            let (id, words) = (value.id(), value.shape().len());
            let fits = value.dtype() == DType::F32 && words.is_multiple_of(EIGHT as usize);
            if !fits || words < WORDS || pinned.contains_key(&id) || kept.contains(&id) {
                continue;
            }
            let all = readers.get(&id).map(Vec::as_slice).unwrap_or_default();
            let (early, late): (Vec<usize>, Vec<usize>) = all.iter().partition(|r| **r <= end);
            let (last, Some(first)) = (early.last().copied().unwrap_or(at), late.first()) else {
                continue;
            };
            if first - last < WAIT {
                continue;
            }
            let half = (vec![words / 2].into(), DType::U32);
            let [h] = Tensor::record(gpu, Halves::Halve, vec![value.clone()], [half]);
            let whole = (value.shape().clone(), DType::F32);
            let [x] = Tensor::record(gpu, Halves::Restore, vec![h.clone()], [whole]);
            behind.entry(last).or_default().extend(Item::of(gpu, &h));
            before.entry(*first).or_default().extend(Item::of(gpu, &x));
            for reader in late {
                for input in items[reader].ins.iter_mut().filter(|t| base(t).id() == id) {
                    *input = x.clone();
                }
            }
        }
    }
    let mut all = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        all.extend(before.remove(&at).unwrap_or_default());
        all.push(item);
        all.extend(behind.remove(&at).unwrap_or_default());
    }
    all
}

#[derive(Debug)]
enum Halves {
    /// x → halves, two a word.
    Halve,
    /// And back.
    Restore,
}

impl Op for Halves {
    fn name(&self) -> &'static str {
        match self {
            Self::Halve => "halve",
            Self::Restore => "restore",
        }
    }

    fn program(&self, node: &Node, caps: &Caps) -> Program {
        match self {
            Self::Halve => elementwise::halve(node.inputs[0].shape().len() as u32, caps),
            Self::Restore => elementwise::restore(node.outputs[0].0.len() as u32, caps),
        }
    }

    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Err(Error::Failure("halves are a plan's own: they have no gradient".into()))
    }
}
