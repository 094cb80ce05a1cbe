//! What this device does at most: multiply-adds, copies, dispatches. Every other figure is a share of
//! these, measured in the same run and by the same clock.
//!
//! A copy's rate depends on how much of it a cache holds, so several sizes are measured and a kernel is
//! held against the one nearest to the bytes that it moves.

use super::clock::{Basis, Times, time};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Effect, Plan, Work, Workspace};
use crate::tensor::Tensor;
use evenkeel_kernels::limits::{Number, fma, nothing};
use evenkeel_kernels::{Cost, Program, elementwise};
use serde::Serialize;
use std::rc::Rc;

/// A measured rate of copying.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CopyRate {
    /// Bytes read plus bytes written.
    pub bytes: u64,
    /// Billions of bytes a second, read and written counted both.
    pub gbytes: f64,
}

/// The limits of a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Billions of 32-bit operations a second, a multiply-add counting two.
    pub fma_f32: f64,
    /// The same in 16 bits, where the device has them.
    pub fma_f16: Option<f64>,
    /// Copies, smallest first.
    pub copy: Vec<CopyRate>,
    /// A dispatch in a long pass, each waiting for the one before, µs.
    pub dispatch_us: f64,
    /// A submit of one dispatch and waiting for it, µs.
    pub submit_us: f64,
}

/// Which limit holds a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Its arithmetic.
    Fma,
    /// The bytes it must move.
    Copy,
    /// The cost of launching it.
    Dispatch,
}

impl Bound {
    /// As tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Fma => "fma",
            Bound::Copy => "copy",
            Bound::Dispatch => "dispatch",
        }
    }
}

impl Limits {
    /// Billions of bytes a second for work that moves `bytes`.
    pub fn copy_rate(&self, bytes: u64) -> f64 {
        let far = |rate: &CopyRate| (rate.bytes as f64 / bytes.max(1) as f64).ln().abs();
        let nearest = self.copy.iter().min_by(|a, b| far(a).total_cmp(&far(b)));
        nearest.map_or(0.0, |rate| rate.gbytes)
    }

    // ANCHOR: least
    /// The least milliseconds that work of `cost` in `dispatches` can take here, and why.
    pub fn least(&self, cost: &Cost, dispatches: usize) -> (f64, Bound) {
        let bytes = cost.read + cost.written;
        let candidates = [
            (cost.flops as f64 / self.fma_f32 / 1e6, Bound::Fma),
            (bytes as f64 / self.copy_rate(bytes) / 1e6, Bound::Copy),
            (dispatches as f64 * self.dispatch_us / 1e3, Bound::Dispatch),
        ];
        let finite = candidates.into_iter().filter(|(ms, _)| ms.is_finite());
        finite.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, Bound::Dispatch))
    }
    // ANCHOR_END: least
}

/// Measures the limits of `gpu` over `rounds` rounds each, by the clock of `basis`.
///
/// # Errors
/// What the device reports, or a kernel that computes nonsense.
pub fn measure(gpu: &Rc<Gpu>, rounds: usize, basis: Basis) -> Result<Limits> {
    let mut copy = Vec::new();
    for kib in [64u64, 1 << 10, 8 << 10, 64 << 10, 256 << 10] {
        let bytes = kib << 10;
        // A software device's memory is the machine's: past its caches more tells nothing new.
        if bytes <= gpu.caps.max_binding && !(gpu.caps.software && bytes > 64 << 20) {
            copy.push(copy_rate(gpu, bytes, rounds, basis)?);
        }
    }
    let dispatch = dispatch_times(gpu, rounds, basis)?;
    Ok(Limits {
        fma_f32: fma_rate(gpu, Number::F32, rounds, basis)?,
        fma_f16: gpu.caps.f16.then(|| fma_rate(gpu, Number::F16, rounds, basis)).transpose()?,
        copy,
        dispatch_us: dispatch.0,
        submit_us: dispatch.1,
    })
}

/// A plan of one program over leaves.
fn plan(gpu: &Rc<Gpu>, program: Program, args: &[&Tensor]) -> Result<Plan> {
    let mut work = Work::new();
    let args = args.iter().map(|t| (*t).clone()).collect();
    work.effect(Effect { name: "limit", program, args });
    Plan::build(&mut Workspace::new(gpu), work)
}

fn timed(gpu: &Gpu, plan: &Plan, rounds: usize) -> Result<Times> {
    time(rounds, |k| {
        plan.repeat(&StepUniform::default(), k)?;
        gpu.wait()
    })
}

fn fma_rate(gpu: &Rc<Gpu>, number: Number, rounds: usize, basis: Basis) -> Result<f64> {
    let (threads, steps) = if gpu.caps.software { (1 << 13, 128) } else { (1 << 18, 512) };
    let x = Tensor::new(gpu, &[0.5, 0.5], [2])?;
    let y = Tensor::new(gpu, &vec![0.0; threads], [threads])?;
    let plan = plan(gpu, fma(threads as u32, steps, number), &[&x, &y])?;
    plan.run(&StepUniform::default())?;
    // c ← c/2 + 1/2 settles at 1, and each thread sums 16 of them.
    if let Some(wrong) = y.to_vec()?.iter().find(|v| (**v - 16.0).abs() > 0.05) {
        let message = format!("the multiply-add probe computed {wrong} instead of 16");
        return Err(Error::Failure(message));
    }
    let times = timed(gpu, &plan, rounds)?;
    Ok(plan.stats().cost.flops as f64 / times.least(basis) / 1e6)
}

fn copy_rate(gpu: &Rc<Gpu>, bytes: u64, rounds: usize, basis: Basis) -> Result<CopyRate> {
    let words = bytes as usize / 4;
    let data: Vec<f32> = (0..words).map(|i| i as f32).collect();
    let x = Tensor::new(gpu, &data, [words])?;
    let y = Tensor::new(gpu, &vec![0.0; words], [words])?;
    let mut program = elementwise::copy(words as u32, &gpu.caps);
    for call in &mut program.calls {
        call.args = vec![evenkeel_kernels::Arg::In(0), evenkeel_kernels::Arg::In(1)];
    }
    let plan = plan(gpu, program, &[&x, &y])?;
    plan.run(&StepUniform::default())?;
    if y.to_vec()? != data {
        return Err(Error::Failure("the copy probe's result is not its input".into()));
    }
    let times = timed(gpu, &plan, rounds)?;
    Ok(CopyRate { bytes: 2 * bytes, gbytes: 2.0 * bytes as f64 / times.least(basis) / 1e6 })
}

/// µs of a dispatch in a long pass, and of a submit with one.
fn dispatch_times(gpu: &Rc<Gpu>, rounds: usize, basis: Basis) -> Result<(f64, f64)> {
    const LONG: usize = 257;
    let x = Tensor::new(gpu, &[0.0], [1])?;
    let plan = plan(gpu, nothing(), &[&x])?;
    let of = |dispatches: usize| {
        time(rounds, |k| {
            for _ in 0..k {
                plan.repeat(&StepUniform::default(), dispatches)?;
                gpu.wait()?;
            }
            Ok(())
        })
    };
    let (one, many) = (of(1)?.least(basis), of(LONG)?.least(basis));
    Ok(((many - one).max(0.0) * 1e3 / (LONG - 1) as f64, one * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let rate = |bytes, gbytes| CopyRate { bytes, gbytes };
        Limits {
            fma_f32: 100.0,
            fma_f16: None,
            copy: vec![rate(1 << 20, 50.0), rate(1 << 26, 10.0)],
            dispatch_us: 5.0,
            submit_us: 50.0,
        }
    }

    #[test]
    fn the_copy_of_the_nearest_size_counts() {
        assert_eq!(limits().copy_rate(1), 50.0);
        assert_eq!(limits().copy_rate(1 << 22), 50.0);
        assert_eq!(limits().copy_rate(1 << 24), 10.0);
    }

    #[test]
    fn the_slowest_part_of_the_work_bounds_it() {
        let cost = |flops, read| Cost { flops, read, written: 0 };
        assert_eq!(limits().least(&cost(1_000_000_000, 1 << 20), 1), (10.0, Bound::Fma));
        let (ms, bound) = limits().least(&cost(1000, 1 << 26), 1);
        assert!((ms - 6.71).abs() < 0.01 && bound == Bound::Copy, "{ms} {bound:?}");
        assert_eq!(limits().least(&cost(10, 8), 3), (0.015, Bound::Dispatch));
    }
}
