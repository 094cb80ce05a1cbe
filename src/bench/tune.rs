//! Finding the fastest kernel variant of a shape on this device.
//!
//! For each bench with a choice: the usual variant is timed first, every other one then, each after
//! its result was found right against the reference. A variant more than a few times slower in its
//! first run is given up there, and the usual one is kept unless another is clearly faster.

use super::clock::{Basis, Start};
use super::kernels::{Bench, Choice, Measured, Verified};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::table;
use evenkeel_kernels::{Tuned, conv2d_key, matmul_key};
use std::rc::Rc;

/// How many times slower than the best a variant's first run may be.
const GIVE_UP: f64 = 4.0;
/// What a first run may take beyond that for its submit, ms.
const SUBMIT: f64 = 1.0;
/// The share of the usual variant's time that a better one must save, more than noise.
const WORTH: f64 = 0.05;

/// What was found for one shape.
#[derive(Clone, Debug)]
pub struct Found {
    /// The best variant, as the table has it.
    pub choice: table::Choice,
    /// Each variant's time, ms; `None` for one given up.
    pub tried: Vec<(&'static str, Option<f64>)>,
}

/// Finds the best variant of `bench`; `None` where there is one at most.
///
/// # Errors
/// A variant whose result is wrong, or what the device reports.
pub fn search(
    gpu: &Rc<Gpu>,
    bench: &Bench,
    verified: &mut Verified,
    rounds: usize,
) -> Result<Option<Found>> {
    let variants = bench.choice.variants(&gpu.caps);
    let (Some(usual), 2..) = (variants.first(), variants.len()) else { return Ok(None) };
    let basis = if gpu.caps.software { Basis::Processor } else { Basis::Wall };
    let mut tried: Vec<(&'static str, Option<f64>)> = Vec::new();
    for variant in &variants {
        let device = gpu.preferring(variant);
        let best = tried.iter().filter_map(|(_, ms)| *ms).min_by(f64::total_cmp);
        if let Some(best) = best
            && first_run(bench, &device, basis)? > GIVE_UP * best + SUBMIT
        {
            tried.push((variant, None));
            continue;
        }
        verified.check(bench, &device)?;
        let Measured { times, .. } = bench.measure(&device, Some(variant), rounds)?;
        tried.push((variant, Some(times.least(basis))));
    }
    let usual_ms = tried[0].1.unwrap_or(f64::INFINITY);
    let timed = tried.iter().filter_map(|(v, ms)| ms.map(|ms| (*v, ms)));
    let best = timed.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|b| b.1 < usual_ms * (1.0 - WORTH));
    let (variant, ms) = best.unwrap_or((*usual, usual_ms));
    let (shape, batch) = match &bench.choice {
        Choice::One => return Ok(None),
        Choice::Conv(shape, direction) => (conv2d_key(shape, *direction), shape.n),
        Choice::Matmul(shape) => (matmul_key(shape), shape.batch),
    };
    let choice = table::Choice {
        shape,
        variant: variant.into(),
        ms,
        batch: batch as usize,
        usual: (*usual).into(),
        usual_ms,
    };
    Ok(Some(Found { choice, tried }))
}

/// The time of one run after one that lets the driver compile, ms.
fn first_run(bench: &Bench, gpu: &Rc<Gpu>, basis: Basis) -> Result<f64> {
    let plan = bench.plan(gpu)?;
    let once = || -> Result<f64> {
        let start = Start::now();
        plan.run(&Default::default())?;
        gpu.wait()?;
        Ok(start.least(basis))
    };
    once()?;
    once()
}

/// A device that uses no table, so that what is usual is the kernels' own guess.
pub fn untuned(gpu: &Gpu) -> Rc<Gpu> {
    gpu.tuned_by(Tuned::default())
}
