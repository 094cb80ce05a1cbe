//! How fast an epoch's training went, and of a streamed set, what waited for what.
//!
//! Clocks of the reading threads and of the loop, over an epoch → images a second, a `stream` object of the
//! epoch's line in `metrics.jsonl` and `--json`, and a few words of the progress display.

use super::device_set::DeviceSet;
use crate::data::stream::Times;
use serde::Serialize;
use std::time::Instant;

/// Share of the time below which steps that waited for images count as not waiting: an epoch's first batch is
/// always waited for.
const READY: f64 = 0.05;

/// An epoch's clocks.
pub(super) struct Throughput {
    began: Instant,
    /// Seconds that the loop waited for the device.
    device: f64,
    seconds: f64,
    images: usize,
    times: Option<Times>,
}

/// Where the time of a streamed epoch went, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spent {
    /// The epoch's training.
    seconds: f64,
    /// Steps waiting for images.
    waited_for_images: f64,
    /// Images waiting for the device: the loop held back until a step was done.
    waited_for_steps: f64,
    /// Reading files, over all threads.
    read: f64,
    /// Decoding, over all threads.
    decode: f64,
    /// Cropping and resizing, over all threads.
    resize: f64,
    /// Threads with their queue full.
    idle: f64,
}

impl Throughput {
    /// Starts the clocks.
    pub fn begin(set: &DeviceSet) -> Self {
        let (began, times) = (Instant::now(), set.times());
        Throughput { began, device: 0.0, seconds: 0.0, images: 0, times }
    }

    /// Does what waits for the device.
    pub fn waiting<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = wait();
        self.device += began.elapsed().as_secs_f64();
        done
    }

    /// Stops the clocks, after `images`.
    pub fn end(&mut self, images: usize, set: &DeviceSet) {
        self.images = images;
        self.seconds = self.began.elapsed().as_secs_f64();
        let before = self.times.take().unwrap_or_default();
        self.times = set.times().map(|now| now - before);
    }

    /// Seconds since the epoch began, or was gone on with.
    pub fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Images a second.
    pub fn rate(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }

    /// Of a streamed set, where the time went.
    pub fn stream(&self) -> Option<Spent> {
        self.times.map(|times| Spent {
            seconds: self.seconds,
            waited_for_images: times.empty,
            waited_for_steps: self.device,
            read: times.read,
            decode: times.decode,
            resize: times.resize,
            idle: times.full,
        })
    }

    /// Of a streamed set, what waited for what, in words.
    pub fn line(&self) -> String {
        let Some(spent) = self.stream() else { return String::new() };
        let share = spent.waited_for_images / spent.seconds.max(1e-9);
        match share >= READY {
            true => format!("  steps waited for images {:.0} % of the time", 100.0 * share),
            false => "  images waited for steps".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_is_told() {
        let of = |empty: f64, device: f64| Throughput {
            began: Instant::now(),
            device,
            seconds: 4.0,
            images: 100,
            times: Some(Times { empty, ..Times::default() }),
        };
        assert_eq!(of(1.0, 0.1).line(), "  steps waited for images 25 % of the time");
        assert_eq!(of(0.1, 3.0).line(), "  images waited for steps");
        assert_eq!(of(0.1, 3.0).rate(), 25.0);
        assert_eq!(Throughput { times: None, ..of(1.0, 1.0) }.line(), "");
    }
}
