//! Replaying a plan whose ranks exchange between its dispatches: what is to be exchanged is copied to a
//! readable buffer where it is complete, and written back before the first dispatch that needs it.
//!
//! The dispatches up to the next exchange are submitted before the host waits for the one before, so the
//! device goes on while gradients travel. Exchanges are finished in the plan's order, which is the same on
//! every rank.

use crate::dist::{Group, exchange};
use crate::error::Result;
use crate::gpu::{Dispatch, Gpu, Readback, Slice};
use evenkeel_kernels::Exchange;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

/// An exchange at a place of a plan.
pub(super) struct Stop {
    /// The dispatch before which the slice is complete.
    pub at: usize,
    /// The dispatch before which the exchange must be finished.
    pub due: usize,
    /// What lies in the slice becomes what all ranks make of it.
    pub slice: Slice,
    pub what: Exchange,
    pub readback: Readback,
}

/// The exchanges of a plan, by place.
pub(super) struct Stops {
    pub group: Rc<Group>,
    pub all: Vec<Stop>,
}

impl Stops {
    /// Submits the dispatches of `range`, with the exchanges between them and at its end.
    ///
    /// # Errors
    /// A lost device, a rank that is gone.
    pub fn replay(&self, gpu: &Gpu, dispatches: &[Dispatch], range: Range<usize>) -> Result<()> {
        let mut begun: VecDeque<&Stop> = VecDeque::new();
        let mut at = range.start;
        // One at the end belongs to what comes before it, but at the very start to nothing.
        let here = |s: &&Stop| s.at > range.start && s.at <= range.end;
        let mut coming = self.all.iter().filter(here).peekable();
        loop {
            let due = begun.iter().map(|s| s.due).min();
            let next = [coming.peek().map(|s| s.at), due, Some(range.end)];
            let next = next.into_iter().flatten().min().unwrap_or(range.end).min(range.end);
            if next > at {
                gpu.submit(&dispatches[at..next])?;
                at = next;
            }
            while let Some(stop) = coming.next_if(|s| s.at <= at) {
                gpu.begin_read(&stop.slice, &stop.readback);
                begun.push_back(stop);
            }
            while begun.iter().any(|s| s.due <= at) || (at == range.end && !begun.is_empty()) {
                if let Some(stop) = begun.pop_front() {
                    self.finish(gpu, stop)?;
                }
            }
            if at == range.end {
                return Ok(());
            }
        }
    }

    fn finish(&self, gpu: &Gpu, stop: &Stop) -> Result<()> {
        let mut data: Vec<f32> = gpu.end_read(&stop.readback)?;
        exchange(&self.group, stop.what, &mut data)?;
        gpu.write(&stop.slice, &data);
        Ok(())
    }
}
