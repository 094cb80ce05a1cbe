//! What a plan is asked for: values, some of them written into buffers that outlive the plan, and
//! effects that run after them (the optimizer's update, a loss noted in a ring).

use crate::gpu::Slice;
use crate::tensor::Tensor;
use evenkeel_kernels::Program;

/// A program run for what it writes into leaves among its arguments (`Arg::In`).
#[derive(Debug)]
pub struct Effect {
    /// A name for profiles.
    pub name: &'static str,
    /// The launches.
    pub program: Program,
    /// The arguments; values are computed before, leaves may be written.
    pub args: Vec<Tensor>,
}

/// The values and effects of one plan.
#[derive(Debug, Default)]
pub struct Work {
    pub(super) keep: Vec<Tensor>,
    pub(super) store: Vec<(Tensor, Slice)>,
    pub(super) effects: Vec<Effect>,
    pub(super) halves_until: Option<Tensor>,
    pub(super) half_products: bool,
    pub(super) sums: Vec<Slice>,
}

impl Work {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Computes `value` and keeps it readable after a run.
    pub fn keep(&mut self, value: &Tensor) -> &mut Self {
        self.keep.push(value.clone());
        self
    }

    /// Computes `value` and writes it to `into`.
    pub fn store(&mut self, value: &Tensor, into: Slice) -> &mut Self {
        self.store.push((value.clone(), into));
        self
    }

    /// Runs `effect` after every value it takes and every earlier effect.
    pub fn effect(&mut self, effect: Effect) -> &mut Self {
        self.effects.push(effect);
        self
    }

    /// Lets values that are made before `loss` and read again behind it wait in between as halves.
    pub fn halve_until(&mut self, loss: &Tensor) -> &mut Self {
        self.halves_until = Some(loss.clone());
        self
    }

    /// Lets kernels round what they multiply to `f16`, where the device has it and gains by it.
    pub fn halve_products(&mut self) -> &mut Self {
        self.half_products = true;
        self
    }

    /// Where several ranks train, sums what is stored in `slice` over them, before the first effect and while
    /// the device computes the rest.
    pub fn sum_over_ranks(&mut self, slice: Slice) -> &mut Self {
        self.sums.push(slice);
        self
    }

    pub(super) fn roots(&self) -> impl Iterator<Item = &Tensor> {
        self.keep
            .iter()
            .chain(self.store.iter().map(|(t, _)| t))
            .chain(self.effects.iter().flat_map(|e| e.args.iter()))
    }
}
