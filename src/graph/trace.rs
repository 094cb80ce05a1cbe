//! Which node made the first number that is not finite: the plan replayed node by node, each one's
//! outputs read right after it ran, when nothing has yet been written over them.
//!
//! The plan itself is run, buffers shared and ops fused as always, so what it computes has the bits of
//! the step that failed. Effects are left out: nothing is updated.

use super::Plan;
use crate::error::Result;
use crate::gpu::{Slice, StepUniform};

/// What a value holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Extent {
    /// The largest finite absolute value.
    pub largest: f32,
    /// Elements that are NaN or infinite.
    pub bad: usize,
    /// The position and value of the first of them, in row-major order.
    pub first: Option<(usize, f32)>,
}

impl Extent {
    fn of(values: &[f32]) -> Self {
        let mut found = Extent { largest: 0.0, bad: 0, first: None };
        for (at, value) in values.iter().enumerate() {
            if value.is_finite() {
                found.largest = found.largest.max(value.abs());
            } else {
                found.bad += 1;
                found.first.get_or_insert((at, *value));
            }
        }
        found
    }
}

/// The first node with an output that is not finite.
#[derive(Clone, Debug)]
pub struct Culprit {
    /// Its position in [`Plan::steps`].
    pub at: usize,
    /// Extents of the output, outermost first.
    pub shape: Vec<usize>,
    /// The output.
    pub output: Extent,
    /// Each float input.
    pub inputs: Vec<Extent>,
}

impl Plan {
    /// Runs the nodes one by one and looks at what each made, until one makes a number that is not
    /// finite; `None` if all are finite.
    ///
    /// # Errors
    /// A lost device.
    pub fn trace(&self, step: &StepUniform) -> Result<Option<Culprit>> {
        self.gpu.write_step(&self.uniform, step);
        let read = |slice: &Slice| self.gpu.read::<f32>(slice).map(|v| Extent::of(&v));
        // Ranks exchange within nodes: none may end before the others.
        let to_the_end = self.group().is_some();
        let mut culprit = None;
        let mut end = 0;
        for (at, node) in self.steps.iter().enumerate() {
            let own = end..end + node.calls.len();
            end = own.end;
            if node.outputs.is_empty() {
                continue;
            }
            self.replay(own)?;
            for (slice, shape) in &node.outputs {
                let output = read(slice)?;
                if output.bad > 0 && culprit.is_none() {
                    let inputs = node.inputs.iter().map(read).collect::<Result<_>>()?;
                    let shape = shape.dims().to_vec();
                    culprit = Some(Culprit { at, shape, output, inputs });
                    if !to_the_end {
                        return Ok(culprit);
                    }
                }
            }
        }
        Ok(culprit)
    }
}
