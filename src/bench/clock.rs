//! Rounds of timed work: wall time, and the processor time of all the process's threads.
//!
//! On a software device the kernels run on the processor, so on a machine that does other work the
//! processor time says more than the clock on the wall; on a GPU it is what submitting costs.

use crate::error::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// A moment, to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Start {
    /// Now.
    pub fn now() -> Self {
        Start { wall: Instant::now(), cpu: process_time() }
    }

    /// Milliseconds since: on the wall, and of the process's threads together where that is known.
    pub fn elapsed(&self) -> (f64, Option<f64>) {
        let cpu = process_time().zip(self.cpu).map(|(now, then)| millis(now.saturating_sub(then)));
        (millis(self.wall.elapsed()), cpu)
    }

    /// Milliseconds since by the clock of `basis`.
    pub fn least(&self, basis: Basis) -> f64 {
        match (basis, self.elapsed()) {
            (Basis::Processor, (_, Some(cpu))) => cpu / cores(),
            (_, (wall, _)) => wall,
        }
    }
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// Processor time of all threads of this process.
#[cfg(unix)]
fn process_time() -> Option<Duration> {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(u64::try_from(t.tv_sec).ok()?, u32::try_from(t.tv_nsec).ok()?))
}

/// Not known on this system.
#[cfg(not(unix))]
fn process_time() -> Option<Duration> {
    None
}

/// Median and least of several times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
}

impl Summary {
    /// Of some times; zeros without any.
    pub fn of(times: &[f64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let (Some(min), Some(high)) = (sorted.first(), sorted.get(n / 2)) else {
            return Summary::default();
        };
        let low = sorted[(n - 1) / 2];
        Summary { median: (low + high) / 2.0, min: *min }
    }
}

/// What rounds of work took, per repetition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Rounds.
    pub rounds: usize,
    /// Repetitions in a round.
    pub repeats: usize,
    /// Wall time of a repetition, ms.
    pub wall: Summary,
    /// Processor time of a repetition, ms, all threads together; `None` where it is not known.
    pub cpu: Option<Summary>,
}

/// Which time rates and shares are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// The least time on the wall.
    #[default]
    Wall,
    /// The least processor time, divided by the machine's cores: what the wall would show if all of
    /// them were free and evenly used. For a software device on a busy machine.
    Processor,
}

impl Times {
    /// The time of a repetition, ms.
    pub fn least(&self, basis: Basis) -> f64 {
        match (basis, &self.cpu) {
            (Basis::Processor, Some(cpu)) => cpu.min / cores(),
            _ => self.wall.min,
        }
    }
}

/// The machine's cores, as far as this process may use them.
fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}

/// How long a round lasts at least, so that the cost of reading the clock and waiting vanishes.
const ROUND: f64 = 20.0;
/// The most repetitions in a round.
const MOST: usize = 1000;
/// How long rounds go on, ms, once there are three of them.
const BUDGET: f64 = 3000.0;

// ANCHOR: time
/// Times `work(k)`, which does its work k times and waits for it: one untimed round to warm up and to
/// find how many repetitions make 20 ms, then `rounds` timed ones, or fewer (at least three) where these
/// take more than 3 s.
///
/// # Errors
/// What `work` reports.
pub fn time(rounds: usize, mut work: impl FnMut(usize) -> Result<()>) -> Result<Times> {
    let start = Start::now();
    work(1)?;
    let once = start.elapsed().0;
    let repeats = ((ROUND / once.max(1e-6)).ceil() as usize).clamp(1, MOST);
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    let begun = Start::now();
    for _ in 0..rounds.max(1) {
        let start = Start::now();
        work(repeats)?;
        let (w, c) = start.elapsed();
        wall.push(w / repeats as f64);
        cpu.extend(c.map(|c| c / repeats as f64));
        if wall.len() >= 3 && begun.elapsed().0 > BUDGET {
            break;
        }
    }
    Ok(Times {
        rounds: wall.len(),
        repeats,
        wall: Summary::of(&wall),
        cpu: (!cpu.is_empty()).then(|| Summary::of(&cpu)),
    })
}
// ANCHOR_END: time

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 8.0]), Summary { median: 3.0, min: 1.0 });
        assert_eq!(Summary::of(&[5.0, 3.0, 9.0]), Summary { median: 5.0, min: 3.0 });
        assert_eq!(Summary::of(&[]), Summary::default());
    }

    #[test]
    fn rounds_repeat_until_they_are_long_enough() -> Result<()> {
        let mut done = 0;
        let times = time(3, |k| {
            done += k;
            std::thread::sleep(Duration::from_millis(3 * k as u64));
            Ok(())
        })?;
        assert!(times.repeats >= 2 && done == 1 + 3 * times.repeats, "{times:?}, {done} done");
        assert!(times.wall.min >= 3.0, "{times:?}");
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn sleeping_takes_no_processor_time() {
        let start = Start::now();
        std::thread::sleep(Duration::from_millis(30));
        let (wall, cpu) = start.elapsed();
        // Other tests of this process run meanwhile, so only presence is certain.
        assert!(wall >= 30.0 && cpu.is_some_and(|c| c >= 0.0), "{wall} {cpu:?}");
    }
}
