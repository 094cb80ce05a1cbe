//! How fast a right answer is: its time beside the least that this device's limits allow, and beside the
//! engine's own kernels doing the same work, all by one clock.

use super::check::Right;
use super::exercise::Exercise;
use crate::bench::clock::{Basis, time};
use crate::bench::limits::{Bound, measure};
use crate::error::Result;
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Plan, Workspace};
use evenkeel_kernels::Cost;
use std::rc::Rc;

/// Rounds of each measurement.
const ROUNDS: usize = 5;

/// What was measured, in milliseconds.
#[derive(Clone, Debug)]
pub struct Speed {
    /// The reader's kernel: the least of its rounds.
    pub own: f64,
    /// FLOPs and bytes that the work needs.
    pub cost: Cost,
    /// The least time this device could take for these.
    pub limit: f64,
    /// Which limit that is.
    pub bound: Bound,
    /// Its rate: GFLOP/s of multiply-adds, GB/s of copying, or µs of a dispatch.
    pub rate: f64,
    /// The engine's own work.
    pub engine: f64,
    /// The engine's launches.
    pub kernels: Vec<String>,
}

/// Times a right answer.
///
/// # Errors
/// What the device reports.
pub fn speed(gpu: &Rc<Gpu>, exercise: &Exercise, right: &Right, basis: Basis) -> Result<Speed> {
    let limits = measure(gpu, ROUNDS, basis)?;
    let work = (exercise.engine)(gpu, &right.trial.sizes, &right.inputs)?;
    let engine = Plan::build(&mut Workspace::new(gpu), work)?;
    // Turn and turn about, so that other load on the machine meets both.
    let (mut own, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..2 {
        for (plan, least) in [(&right.plan, &mut own), (&engine, &mut theirs)] {
            let times = time(ROUNDS, |k| {
                plan.repeat(&StepUniform::default(), k)?;
                gpu.wait()
            })?;
            *least = least.min(times.least(basis));
        }
    }
    let cost = (exercise.cost)(&right.trial.sizes);
    let (limit, bound) = limits.least(&cost, 1);
    let rate = match bound {
        Bound::Fma => limits.fma_f32,
        Bound::Copy => limits.copy_rate(cost.read + cost.written),
        Bound::Dispatch => limits.dispatch_us,
    };
    let calls = engine.steps().iter().flat_map(|s| s.calls.iter().map(|c| c.0.clone()));
    let mut kernels: Vec<String> = calls.collect();
    kernels.dedup();
    Ok(Speed { own, cost, limit, bound, rate, engine: theirs, kernels })
}
