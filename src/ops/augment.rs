//! augment: a policy of image operations over a batch, pass by pass. Policies are tables of (operation,
//! probability, amount); the operations are those of `kernels/augment/`.

use super::{dims, expect, misfit};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::tensor::{DType, Gradients, Node, Op, Tensor};
pub use evenkeel_kernels::augment::{Entry, Operation};
use evenkeel_kernels::augment::{Pass, program};
use evenkeel_kernels::{Caps, Program};
use std::rc::Rc;

/// A policy on a device.
pub struct Policy {
    table: Tensor,
    rows: usize,
    passes: usize,
    independent: bool,
}

impl Policy {
    /// Rows of as many entries as passes. A sample draws one row for all passes, or with `independent` one
    /// for each.
    ///
    /// # Errors
    /// No rows, rows of different lengths, or no memory.
    pub fn new(gpu: &Rc<Gpu>, rows: &[Vec<Entry>], independent: bool) -> Result<Self> {
        let passes = rows.first().map_or(0, Vec::len);
        if passes == 0 || rows.iter().any(|r| r.len() != passes) {
            return Err(misfit("augment", "a policy needs rows of the same number of entries"));
        }
        let words: Vec<f32> = rows.iter().flatten().flat_map(Entry::encoded).collect();
        let table = Tensor::new(gpu, &words, [words.len() / 4, 4])?;
        Ok(Policy { table, rows: rows.len(), passes, independent })
    }

    /// Passes over a batch.
    pub fn passes(&self) -> usize {
        self.passes
    }
}

/// What the images of a batch were normalized by, and what else happens to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalized {
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
    /// Side of a black square after the last pass; 0: none.
    pub cutout: usize,
    /// Tells the random numbers of two batches at the same positions apart.
    pub draw: usize,
}

#[derive(Debug)]
struct Augment(Pass);

/// `x` [N, C, H, W], normalized, changed by the policy; images have no gradient.
///
/// # Errors
/// Images that have neither one nor three channels.
pub fn augment(x: &Tensor, policy: &Policy, images: &Normalized) -> Result<Tensor> {
    let [n, c, h, w] = dims("augment", "the images", x)?;
    if c != 1 && c != 3 {
        return Err(misfit("augment", format!("images have 1 or 3 channels, not {c}")));
    }
    expect("augment", "the policy", &policy.table, &[policy.rows * policy.passes, 4])?;
    let mut y = x.clone();
    for pass in 0..policy.passes {
        let last = pass + 1 == policy.passes;
        let pass = Pass {
            n: n as u32,
            c: c as u32,
            h: h as u32,
            w: w as u32,
            rows: policy.rows as u32,
            passes: policy.passes as u32,
            pass: pass as u32,
            independent: policy.independent,
            cutout: if last { images.cutout as u32 } else { 0 },
            draw: images.draw as u32,
            mean: images.mean,
            std: images.std,
        };
        let inputs = vec![y.clone(), policy.table.clone()];
        let out = (x.shape().clone(), DType::F32);
        let [changed] = Tensor::record(x.gpu(), Augment(pass), inputs, [out]);
        y = changed;
    }
    Ok(y)
}

impl Op for Augment {
    fn name(&self) -> &'static str {
        "augment"
    }

    fn program(&self, _: &Node, caps: &Caps) -> Program {
        program(&self.0, caps)
    }

    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None; 2])
    }
}
