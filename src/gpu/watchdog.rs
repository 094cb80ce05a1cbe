//! How long a device may be kept busy at once. Windows resets a device that does not answer for two
//! seconds, other systems and browsers have limits of their own. So no dispatch and no submit is made
//! that a slow device would take longer than a second for, by the cost model: a list of dispatches
//! becomes several submits, and a dispatch too long for one is cut into pieces of its grid.

use super::Gpu;
use evenkeel_kernels::{Cost, Launch, pieces};
use std::borrow::Cow;

/// What a slow device reaches with portable kernels: assumed, not measured. (lavapipe on two cores:
/// 28 GFLOP/s and 4 GB/s over a training step.)
const FLOPS: f64 = 10e9;
const BYTES: f64 = 2e9;

/// The longest that a slow device may be kept busy, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watchdog {
    /// Seconds of a dispatch and of a submit.
    pub seconds: f64,
}

impl Default for Watchdog {
    fn default() -> Self {
        Watchdog { seconds: 1.0 }
    }
}

/// Seconds that a slow device takes for `cost`.
pub fn slow_seconds(cost: &Cost) -> f64 {
    (cost.flops as f64 / FLOPS).max((cost.read + cost.written) as f64 / BYTES)
}

impl Watchdog {
    /// How many pieces of a launch are short enough.
    fn count(&self, launch: &Launch) -> u32 {
        (slow_seconds(&launch.cost) / self.seconds).ceil().clamp(1.0, 65_535.0) as u32
    }

    /// The pieces of a launch: one, where it is short enough or has but one workgroup.
    pub(super) fn pieces(&self, launch: &Launch) -> Vec<pieces::Piece> {
        pieces::cut(launch.grid, self.count(launch))
    }
}

impl Gpu {
    /// The launch as this device is given it: in pieces, if it is too long for one dispatch.
    pub fn guarded<'a>(&self, launch: &'a Launch) -> Cow<'a, Launch> {
        let whole = launch.grid == [1, 1, 1] || self.watchdog.count(launch) == 1;
        if launch.in_pieces || whole {
            return Cow::Borrowed(launch);
        }
        Cow::Owned(Launch { in_pieces: true, ..launch.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_launches_are_cut() {
        let source = evenkeel_kernels::Source { path: "", text: "" };
        let launch = Launch::new(source, "main").grid(100, 3, 1);
        let count = |flops, bytes| {
            let launch = launch.clone().cost(flops, bytes, bytes);
            Watchdog::default().pieces(&launch).len()
        };
        assert_eq!(count(10_000_000_000, 0), 1);
        assert_eq!(count(25_000_000_000, 0), 3);
        assert_eq!(count(0, 2_000_000_000), 2);
        assert_eq!(count(u64::MAX, 0), 100);
    }
}
