//! Every op at the shapes that matter, timed alone: the chosen kernel variant or each that runs.
//!
//! A [`Bench`] traces its work on a device ([`all`] lists them) → the op's result on a small batch
//! is checked against the 64-bit reference, with the very variant to be timed → the plan is replayed
//! in rounds → its time is held against [`Limits::least`](super::limits::Limits::least) for the plan's
//! FLOPs and bytes. The small batch runs the same code, but not every split of a large one.

mod list;

pub use list::all;

use super::clock::{Times, time};
use crate::check::cases::Case;
use crate::check::run;
use crate::error::{Error, Result, nearest};
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Plan, Work, Workspace};
use evenkeel_kernels::conv2d::{self, Conv2d, Direction};
use evenkeel_kernels::matmul::{self, Matmul};
use evenkeel_kernels::{Caps, Cost};
use std::collections::HashSet;
use std::rc::Rc;

/// The kernels behind a bench, where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// One kernel.
    One,
    /// A convolution's.
    Conv(Conv2d, Direction),
    /// A matrix product's.
    Matmul(Matmul),
}

impl Choice {
    /// The variants that `caps` can run, the one it would take first.
    pub fn variants(&self, caps: &Caps) -> Vec<&'static str> {
        match self {
            Choice::One => Vec::new(),
            Choice::Conv(shape, direction) => {
                let all = conv2d::variants(shape, *direction, caps);
                all.into_iter().map(conv2d::Variant::name).collect()
            }
            Choice::Matmul(shape) => {
                let all = matmul::variants(shape, caps);
                all.into_iter().map(matmul::Variant::name).collect()
            }
        }
    }
}

/// Families that only their name asks for: the convolutions of a ResNet-50, and every case of the check.
const ON_REQUEST: [&str; 2] = ["imagenet", "cases"];

/// Traces a bench's work on a device.
type Trace = Box<dyn Fn(&Rc<Gpu>) -> Result<Work>>;

/// One op at one shape.
pub struct Bench {
    /// `conv3x3_fwd_128x16x32x32`: what, and the input's extents.
    pub name: String,
    /// What it is one of: `conv`, `imagenet`, `matmul`, `bn`, `ce`, `sgd`, `elementwise`, `reduce`,
    /// `cases`.
    pub family: &'static str,
    /// The kernels to choose from.
    pub choice: Choice,
    /// The same op on a small batch, for the reference; `None` for an op that has no reference.
    pub case: Option<Case>,
    trace: Trace,
}

/// What a bench found for one variant.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The variant, where there is a choice.
    pub variant: Option<&'static str>,
    /// Times of one replay.
    pub times: Times,
    /// FLOPs and bytes by the cost model.
    pub cost: Cost,
    /// Dispatches.
    pub dispatches: usize,
}

impl Bench {
    /// Checks the op's result with the variant that `gpu` takes, against the reference.
    ///
    /// # Errors
    /// A result outside the tolerance, or what the device reports.
    pub fn verify(&self, gpu: &Rc<Gpu>) -> Result<()> {
        let Some(case) = &self.case else { return Ok(()) };
        match run::case(gpu, case)?.iter().find(|f| !f.report.ok) {
            None => Ok(()),
            Some(f) => Err(Error::Failure(format!(
                "{} with variant {}: {} is wrong, so it is not timed: {}",
                self.name,
                gpu.caps.prefer.unwrap_or("chosen"),
                f.what,
                f.report
            ))),
        }
    }

    /// The plan to time.
    ///
    /// # Errors
    /// What planning reports.
    pub fn plan(&self, gpu: &Rc<Gpu>) -> Result<Plan> {
        Plan::build(&mut Workspace::new(gpu), (self.trace)(gpu)?)
    }

    /// Times the work with the variant that `gpu` takes.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn measure(
        &self,
        gpu: &Rc<Gpu>,
        variant: Option<&'static str>,
        rounds: usize,
    ) -> Result<Measured> {
        let plan = self.plan(gpu)?;
        let times = time(rounds, |k| {
            plan.repeat(&StepUniform::default(), k)?;
            gpu.wait()
        })?;
        let stats = plan.stats();
        Ok(Measured { variant, times, cost: stats.cost, dispatches: stats.dispatches })
    }
}

/// The benches that `names` ask for: a bench's name, a family's, or the beginning of a name outside
/// those on request; all but these without names.
///
/// # Errors
/// A name of nothing, with the nearest known one.
pub fn select(names: &[String]) -> Result<Vec<Bench>> {
    let mut benches = all();
    if names.is_empty() {
        benches.retain(|b| !ON_REQUEST.contains(&b.family));
        return Ok(benches);
    }
    let whole: HashSet<String> = benches.iter().map(|b| b.name.clone()).collect();
    let begins =
        |b: &Bench, name: &str| !ON_REQUEST.contains(&b.family) && b.name.starts_with(name);
    let asked = |b: &Bench, name: &str| match whole.contains(name) {
        true => b.name == name,
        false => b.family == name || begins(b, name),
    };
    for name in names {
        if !benches.iter().any(|b| asked(b, name)) {
            return Err(unknown_bench(name, &benches));
        }
    }
    benches.retain(|b| names.iter().any(|name| asked(b, name)));
    Ok(benches)
}

/// The families, in order.
fn families(benches: &[Bench]) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = benches.iter().map(|b| b.family).collect();
    found.dedup();
    found
}

fn unknown_bench(name: &str, benches: &[Bench]) -> Error {
    let mut known = vec!["step", "limits"];
    known.extend(families(benches));
    let all = known.iter().copied().chain(benches.iter().map(|b| b.name.as_str()));
    let hint = nearest(name, all).map(|v| format!("; did you mean `{v}`?")).unwrap_or_default();
    Error::usage(format!(
        "unknown bench `{name}`{hint} Known: {}; `evenkeel bench --list` names them one by one",
        known.join(", ")
    ))
}

/// Benches whose result was already found right, by case and variant: three directions share one case.
#[derive(Debug, Default)]
pub struct Verified(HashSet<(String, Option<&'static str>)>);

impl Verified {
    /// Verifies `bench` on `gpu` unless that was done.
    ///
    /// # Errors
    /// As [`Bench::verify`].
    pub fn check(&mut self, bench: &Bench, gpu: &Rc<Gpu>) -> Result<()> {
        let Some(case) = &bench.case else { return Ok(()) };
        let key = (case.name.clone(), gpu.caps.prefer);
        if !self.0.contains(&key) {
            bench.verify(gpu)?;
            self.0.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_cases_name_known_ops() {
        let all = all();
        let names: HashSet<&str> = all.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        for case in all.iter().filter_map(|b| b.case.as_ref()) {
            assert!(crate::check::reference::op(case.op).is_ok(), "{}", case.name);
        }
    }

    #[test]
    fn a_name_a_family_or_a_beginning_selects() -> Result<()> {
        let found = |name: &str| -> Result<Vec<String>> {
            Ok(select(&[name.to_string()])?.into_iter().map(|b| b.name).collect())
        };
        assert_eq!(found("matmul_512x512x512")?, ["matmul_512x512x512"]);
        assert!(found("conv3x3_fwd")?.len() >= 3 && found("bn")?.len() >= 3);
        let wrong = found("matmull").expect_err("no such bench").to_string();
        assert!(wrong.contains("did you mean `matmul`?"), "{wrong}");
        Ok(())
    }
}
