//! What a person sees while training: steps and epochs → a bar, plain lines, or nothing.
//!
//! Everything goes to stderr, so that stdout stays free for results and `--json`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints a line on stdout; a reader that went away is no failure.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a line on stderr, likewise.
pub fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// How much is shown, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A bar for the epoch under way, and a line for each finished one.
    Bar,
    /// A line for each finished epoch, and for each `every` steps if that is set.
    Plain {
        /// Steps between two lines within an epoch.
        every: Option<usize>,
    },
    /// Nothing.
    Quiet,
}

impl Mode {
    /// The mode for this process: nothing if `quiet`; a bar on a terminal; else plain lines.
    pub fn detect(quiet: bool, every: Option<usize>) -> Self {
        match quiet {
            true => Self::Quiet,
            false if std::io::stderr().is_terminal() => Self::Bar,
            false => Self::Plain { every },
        }
    }
}

/// Shows how far a run is.
pub struct Progress {
    mode: Mode,
    total_steps: usize,
    epochs: usize,
    /// Steps of the whole run that are done; those of an earlier start included.
    done: usize,
    /// Epochs that are done, likewise.
    epoch: usize,
    /// Steps done since `started`, which alone say how fast this machine is.
    here: usize,
    started: Instant,
    /// Images since `epoch_started`.
    images: usize,
    epoch_started: Instant,
    /// The last loss that was read back; most steps read none.
    loss: Option<f32>,
    bar: Option<ProgressBar>,
    out: Box<dyn Write + Send>,
}

impl Progress {
    /// A display for a run of `total_steps` steps in `epochs` epochs.
    pub fn new(mode: Mode, total_steps: usize, epochs: usize) -> Self {
        Self::with_output(mode, total_steps, epochs, Box::new(std::io::stderr()))
    }

    fn with_output(
        mode: Mode,
        total_steps: usize,
        epochs: usize,
        out: Box<dyn Write + Send>,
    ) -> Self {
        let now = Instant::now();
        let bar = (mode == Mode::Bar).then(|| {
            let bar = ProgressBar::hidden();
            let style =
                ProgressStyle::with_template("{prefix} {bar:24.cyan/dim} {pos:>4}/{len}  {msg}");
            // The template is a constant of ours; the default style is good enough if it is not.
            bar.set_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"),
            );
            bar
        });
        let progress = Self {
            mode,
            total_steps,
            epochs,
            done: 0,
            epoch: 0,
            here: 0,
            started: now,
            images: 0,
            epoch_started: now,
            loss: None,
            bar,
            out,
        };
        progress.start_epoch();
        // Only now, so that no half-filled bar is drawn.
        if let Some(bar) = &progress.bar {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        progress
    }

    /// Goes on from `epoch` finished epochs and `done` finished steps of an earlier start.
    pub fn resume_at(&mut self, epoch: usize, done: usize) {
        (self.epoch, self.done) = (epoch, done);
        self.start_epoch();
    }

    /// One step over `images` images is done; `loss` is given when it was read back.
    pub fn step(&mut self, loss: Option<f32>, images: usize) {
        self.done += 1;
        self.here += 1;
        self.images += images;
        self.loss = loss.or(self.loss);
        if let Some(bar) = &self.bar {
            bar.inc(1);
            // Setting the text redraws at most at indicatif's rate, so each step may do it.
            bar.set_message(self.status(self.loss));
        }
        if let Mode::Plain { every: Some(every) } = self.mode
            && self.done.is_multiple_of(every.max(1))
        {
            let (done, total) = (self.done, self.total_steps);
            let line = format!("step {done}/{total}  {}", self.status(self.loss));
            self.line(&line);
        }
    }

    /// The epoch under way is finished; `summary` says how it went.
    pub fn epoch(&mut self, summary: &str) {
        self.epoch += 1;
        let width = self.epochs.to_string().len();
        let line = format!(
            "epoch {:>width$}/{}  {summary}  {}",
            self.epoch,
            self.epochs,
            self.status(None)
        );
        self.line(line.trim_end());
        (self.images, self.epoch_started) = (0, Instant::now());
        self.start_epoch();
    }

    /// A remark that stays on the screen.
    pub fn message(&mut self, text: &str) {
        self.line(text);
    }

    /// A remark that is shown in every mode: something is not as it should be.
    pub fn warn(&mut self, text: &str) {
        match self.mode {
            Mode::Quiet => drop(writeln!(self.out, "{text}")),
            _ => self.line(text),
        }
    }

    /// The run is over: the bar goes away.
    pub fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn start_epoch(&self) {
        if let Some(bar) = &self.bar {
            let per_epoch = self.total_steps.div_ceil(self.epochs.max(1)).max(1);
            bar.set_length(per_epoch as u64);
            bar.set_position(self.done.saturating_sub(self.epoch * per_epoch) as u64);
            bar.set_prefix(format!("epoch {}/{}", (self.epoch + 1).min(self.epochs), self.epochs));
        }
    }

    /// Writes a line above the bar. A closed stderr is no reason to stop training.
    fn line(&mut self, text: &str) {
        let out = &mut self.out;
        let mut write = || {
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        };
        match (&self.bar, self.mode) {
            (_, Mode::Quiet) => {}
            (Some(bar), _) => bar.suspend(write),
            (None, _) => write(),
        }
    }

    /// Loss, images per second of this epoch, and the time that the rest of the run takes.
    fn status(&self, loss: Option<f32>) -> String {
        let loss = loss.map(|l| format!("loss {l:.4}"));
        let seconds = self.epoch_started.elapsed().as_secs_f64();
        let rate = (self.images > 0).then(|| format!("{} images/s", rate(self.images, seconds)));
        let left = self.total_steps.saturating_sub(self.done);
        let eta = remaining(self.started.elapsed(), self.here, left)
            .map(|t| format!("{} left", human(t)));
        [loss, rate, eta].into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mode, epoch, done, .. } = self;
        f.debug_struct("Progress")
            .field("mode", mode)
            .field("epoch", epoch)
            .field("done", done)
            .finish()
    }
}

/// The time that `left` steps take if `here` took `elapsed`.
fn remaining(elapsed: Duration, here: usize, left: usize) -> Option<Duration> {
    let seconds = elapsed.as_secs_f64() / here as f64 * left as f64;
    if left == 0 { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

/// Images per second, with three digits.
fn rate(images: usize, seconds: f64) -> String {
    let rate = images as f64 / seconds.max(1e-9);
    if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// A duration in its two largest units: `42 s`, `3 min 05 s`, `2 h 07 min`, `3 d 04 h`.
pub fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a run of 2 epochs of 3 steps shows.
    fn shown(mode: Mode) -> String {
        let sink = Sink::default();
        let mut progress = Progress::with_output(mode, 6, 2, Box::new(sink.clone()));
        for epoch in 0..2 {
            for _ in 0..3 {
                progress.step(Some(1.5), 8);
            }
            progress.epoch(&format!("loss {epoch}.5"));
        }
        progress.message("done");
        progress.finish();
        drop(progress);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn plain_has_a_line_per_epoch() {
        let text = shown(Mode::Plain { every: None });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("epoch 1/2  loss 0.5  ") && lines[0].ends_with(" left"),
            "{text}"
        );
        assert!(lines[1].contains("images/s") && !lines[1].contains("left"), "{text}");
        assert!(!text.contains(['\u{1b}', '\r']));
    }

    #[test]
    fn plain_has_step_lines_when_asked() {
        let text = shown(Mode::Plain { every: Some(2) });
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.contains("step 4/6  loss 1.5000"), "{text}");
        assert_eq!(shown(Mode::Plain { every: Some(0) }).lines().count(), 9);
    }

    #[test]
    fn quiet_shows_nothing_and_a_bar_keeps_the_lines() {
        assert_eq!(shown(Mode::Quiet), "");
        assert_eq!(shown(Mode::Bar).lines().count(), 3);
    }

    #[test]
    fn odd_runs_do_not_divide_by_zero() {
        let mut progress = Progress::with_output(Mode::Bar, 0, 0, Box::new(std::io::sink()));
        progress.epoch("");
        progress.step(None, 0);
        progress.resume_at(5, 100);
        assert_eq!(remaining(Duration::from_secs(1), 0, 5), None);
    }

    #[test]
    fn durations_for_people() {
        let text = [0, 42, 60, 185, 7620, 273_600].map(|s| human(Duration::from_secs(s)));
        assert_eq!(text, ["0 s", "42 s", "1 min 00 s", "3 min 05 s", "2 h 07 min", "3 d 04 h"]);
        assert_eq!(remaining(Duration::from_secs(10), 5, 10), Some(Duration::from_secs(20)));
    }
}
