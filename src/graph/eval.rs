//! A lone tensor's data: plan what is behind it, run, read.

use super::{Plan, Work, Workspace};
use crate::error::Result;
use crate::gpu::StepUniform;
use crate::tensor::Tensor;

impl Tensor {
    /// Computes the tensor and reads it back as floats.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        Ok(evaluate(&[self])?.remove(0).into_iter().map(f32::from_bits).collect())
    }

    /// Computes the tensor and reads it back as integers.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn to_integers(&self) -> Result<Vec<u32>> {
        Ok(evaluate(&[self])?.remove(0))
    }
}

/// Computes several tensors in one run; each as its raw words.
///
/// # Errors
/// As [`Tensor::to_vec`].
pub fn evaluate(tensors: &[&Tensor]) -> Result<Vec<Vec<u32>>> {
    let Some(first) = tensors.first() else { return Ok(Vec::new()) };
    let gpu = first.gpu().clone();
    let mut workspace = Workspace::new(&gpu);
    let mut work = Work::new();
    for t in tensors {
        work.keep(t);
    }
    let plan = Plan::build(&mut workspace, work)?;
    plan.run(&StepUniform::default())?;
    tensors.iter().map(|t| plan.read(t)).collect()
}
