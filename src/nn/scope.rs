//! What a layer's forward is given: the entries' tensors, whether it trains, and where it notes the batch's
//! statistics, which the optimizer's step then stores.

use super::{Params, Slot};
use crate::tensor::{Segment, Tensor};
use std::cell::RefCell;

/// Training normalizes by the batch and learns; evaluation uses the running statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics.
    Train,
    /// Running statistics.
    Eval,
}

/// What a layer's forward is given.
pub struct Scope<'a> {
    /// The entries.
    pub params: &'a Params,
    /// Train or evaluate.
    pub mode: Mode,
    /// The batch norms below the classifier: as `mode`, or `Eval` where it learns alone.
    pub backbone: Mode,
    /// Take averages, where they are kept: what is evaluated.
    pub averaged: bool,
    /// Do ReLU and residual sum inside batch norm's pass.
    pub fuse: bool,
    /// Note each block's nodes, whose values backward computes again instead of keeping them.
    pub recompute: bool,
    /// Batch norms take the statistics of all ranks' batches together.
    pub synced: bool,
    /// Where several ranks train: this one's share of the loss \[1\], by which the ranks' losses and gradients
    /// add up to the whole batch's.
    pub share: Option<Tensor>,
    noted: RefCell<Vec<(Slot, Tensor)>>,
    segments: RefCell<Vec<Segment>>,
}

impl<'a> Scope<'a> {
    /// A scope with fusion.
    pub fn new(params: &'a Params, mode: Mode) -> Self {
        Scope {
            params,
            mode,
            backbone: mode,
            averaged: mode == Mode::Eval,
            fuse: true,
            recompute: false,
            synced: false,
            share: None,
            noted: RefCell::default(),
            segments: RefCell::default(),
        }
    }

    /// The tensor of an entry.
    pub fn get(&self, slot: Slot) -> &Tensor {
        if self.averaged { self.params.average(slot) } else { self.params.tensor(slot) }
    }

    /// Notes the batch's value of a statistic.
    pub fn note(&self, slot: Slot, value: Tensor) {
        self.noted.borrow_mut().push((slot, value));
    }

    /// What `make` gives: a block's forward.
    pub fn block<T>(&self, make: impl FnOnce() -> T) -> T {
        if !self.recompute {
            return make();
        }
        let (made, segment) = Segment::of(make);
        self.segments.borrow_mut().push(segment);
        made
    }

    /// The blocks noted so far.
    pub fn segments(&self) -> Vec<Segment> {
        self.segments.borrow().clone()
    }

    /// The batch's statistics noted so far.
    pub fn noted(&self) -> Vec<(Slot, Tensor)> {
        self.noted.borrow().clone()
    }
}
