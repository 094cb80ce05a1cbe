//! The training loop: epochs of replayed steps, their measures, checkpoints, resume and Ctrl-C.
//!
//! A checkpoint holds everything the next step depends on (parameters, statistics, momentum, the
//! position in the epoch); order, augmentation and learning rate are functions of (seed, epoch,
//! position), so a resumed run computes the same bits as an unbroken one.

use super::about::{About, Position, at_file, beside, floats, start_from, text, tracked};
use super::checkpoint::{Checkpoint, TensorData};
use super::config::{Augment, Config, Sampler, StartHead};
use super::device_set::DeviceSet;
use super::events::EventWriter;
use super::feed::Feed;
use super::fingerprint::Fingerprint;
use super::inside::{Inside, Watch};
use super::metrics::{Confusion, Summary};
use super::progress::{Mode as Display, Progress, say};
use super::run_dir::RunDir;
use super::schedule;
use super::session::Session;
use super::teacher::{META as TEACHER, Teacher};
use super::throughput::Throughput;
use super::{parts, trace};
use crate::data::{self, Splits};
use crate::dist::Group;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, mib};
use crate::nn::is_head_weight;
use crate::optim::{Alarm, Scaled, Sgd};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

mod begin;
mod finish;
mod ranks;
mod replay;
mod saved;

use saved::LOSS_SCALE;

/// How a run is started and shown.
#[derive(Clone)]
pub struct Options {
    /// The run's folder; a new one under `runs/` without it.
    pub out: Option<PathBuf>,
    /// Continue the run in `out`.
    pub resume: bool,
    /// One JSON object a line on stdout.
    pub json: bool,
    /// No progress display.
    pub quiet: bool,
    /// When a number is not finite, replay the step op by op and name the one that made it.
    pub trace_nan: bool,
    /// Lose the device before this step, to test what follows.
    pub lose_device_at: Option<u32>,
    /// Set by Ctrl-C: save and stop.
    pub stop: Arc<AtomicBool>,
    /// The processes that train together, of which rank 0 writes and tells.
    pub group: Rc<Group>,
}

/// What a finished run tells.
pub struct Outcome {
    /// The run's folder.
    pub out: PathBuf,
    /// The last evaluation, if there was one.
    pub summary: Option<Summary>,
    /// Class names and training counts.
    pub classes: Vec<(String, usize)>,
}

/// Steps between two looks at losses and alarm when no one asks for more.
const LOOK: u32 = 32;
/// The most pairs of classes whose confusion an epoch's line keeps.
const KEPT: usize = 2000;

/// Trains as `config` says.
///
/// # Errors
/// A wrong recipe, data or device; a loss that is not finite; Ctrl-C (after saving).
pub fn run(config: &Config, options: &Options) -> Result<Outcome> {
    let group = &options.group;
    let (splits, gpu) = group.agree(config.validate().and_then(|()| {
        let splits = data::load(&config.data)?;
        Ok((splits, Gpu::open_for(config.train.device.as_deref(), group.local_rank())?))
    }))?;
    let run = ranks::folder(config, options)?;
    let path = run.path().to_path_buf();
    let begun = Trainer::new(config, options, splits, gpu, run).and_then(|mut trainer| {
        trainer.start()?;
        Ok(trainer)
    });
    let begun = group.agree(begun).and_then(|mut trainer| {
        trainer.share_beginning()?;
        trainer.find_neighbours()?;
        trainer.fill_memory()?;
        Ok(trainer)
    });
    match begun {
        Ok(trainer) => trainer.epochs().map_err(|e| resumable(e, &path)),
        Err(e) => {
            if !options.resume
                && group.leads()
                && let Ok(run) = RunDir::resume(&path)
            {
                run.abandon();
            }
            Err(e)
        }
    }
}

struct Trainer<'a> {
    config: &'a Config,
    options: &'a Options,
    gpu: Rc<Gpu>,
    run: RunDir,
    about: About,
    fingerprint: Fingerprint,
    splits: Splits,
    train: DeviceSet,
    test: DeviceSet,
    session: Session,
    at: Position,
    looked: u32,
    summary: Option<Summary>,
    progress: Progress,
    events: EventWriter,
    watch: Watch,
    feed: Feed,
    group: Rc<Group>,
    /// What tells the ranks' shares of the epoch's batches, where there are several.
    shares: Option<ranks::Shares>,
}

impl<'a> Trainer<'a> {
    fn new(
        config: &'a Config,
        options: &'a Options,
        splits: Splits,
        gpu: Rc<Gpu>,
        run: RunDir,
    ) -> Result<Self> {
        let about = About::new(config, &splits);
        let mut session = Session::of(&gpu, config, &about)?;
        if let Some(from) = &config.teacher.teacher_from {
            let attention = config.teacher.attention > 0.0;
            session.teacher = Some(Teacher::load(&gpu, from, &about, attention)?);
        }
        let group = options.group.clone();
        session.join(&group)?;
        let epochs = config.train.epochs;
        let feed = Feed::new(config, &splits.train)?.of_ranks(group.size());
        let train = DeviceSet::with_room(&gpu, &splits.train, feed.room())?;
        let test = DeviceSet::for_batches(&gpu, &splits.test, config.train.batch_size)?;
        let all: usize = (0..epochs).map(|e| feed.steps(e)).sum();
        let total = config.train.max_steps.map_or(all, |m| m.min(all));
        let display = if options.json && config.train.log_steps.is_some() {
            Display::detect(true, None)
        } else {
            Display::detect(options.quiet || !group.leads(), config.train.log_steps)
        };
        let events = match group.leads() {
            true => EventWriter::create(run.path(), None)?,
            false => EventWriter::silent(),
        };
        let watch = Watch::new(run.path(), options.resume);
        let trainer = Trainer {
            config,
            options,
            run,
            about,
            fingerprint: Fingerprint::of(&splits)?,
            train,
            test,
            session,
            at: Position::default(),
            looked: 0,
            summary: None,
            progress: Progress::new(display, total, epochs),
            events,
            watch,
            feed,
            splits,
            gpu,
            group,
            shares: None,
        };
        trainer.fit_for_ranks()?;
        Ok(trainer)
    }

    fn epochs(mut self) -> Result<Outcome> {
        let began = Instant::now();
        let ranks = ranks::described(&self.group);
        self.progress.message(&format!("training on {}{ranks}", self.gpu.describe()));
        let epochs = self.config.train.epochs;
        let mut stopped = false;
        while self.at.epoch < epochs && !stopped {
            stopped = self.epoch()?;
        }
        self.progress.finish();
        let group = self.group.clone();
        // The others wait for what rank 0 does at the end, which a second stage begins with.
        group.agree(self.done(began.elapsed().as_secs_f64(), stopped))
    }

    /// One epoch, or what is left of it; true when `--max-steps` ended the run within it.
    fn epoch(&mut self) -> Result<bool> {
        let mut throughput = Throughput::begin(&self.train);
        let (config, epoch) = (self.config, self.at.epoch);
        self.group.take_spent();
        let order = self.feed.begin(epoch, &self.train);
        self.session.begin_epoch(config, epoch);
        self.shares = self.shares(epoch, &order);
        self.keep_to_own(epoch);
        let lr = schedule::lr(&config.schedule, config.optim.lr, epoch, config.train.epochs);
        let augment = config.input.augment != Augment::None;
        let (take, end) = (self.feed.step_len(epoch), self.feed.end(epoch));
        let images = end - self.at.seen;
        let noted = self.at.seen;
        while self.at.seen < end {
            if config.train.max_steps.is_some_and(|m| self.at.step as usize >= m) {
                self.pause(lr, &order, noted)?;
                return Ok(true);
            }
            if self.group.any(self.options.stop.load(Ordering::Relaxed))? {
                self.pause(lr, &order, noted)?;
                self.progress.finish();
                return Err(self.group.told_by_lead(Error::Interrupted(format!(
                    "stopped after step {}; continue with: evenkeel train --resume --out {}",
                    self.at.step,
                    self.run.path().display()
                ))));
            }
            if self.options.lose_device_at == Some(self.at.step) {
                self.gpu.lose();
            }
            let now = take.min(end - self.at.seen);
            let batches = self.feed.batches(lr, epoch, self.at.step, (self.at.seen, now));
            let (batches, shares) = self.own_batches(batches);
            for (i, (n, uniform)) in batches.iter().enumerate() {
                if let Err(e) = self.train.stage(uniform.first as usize, *n) {
                    // Within a step, statistics have followed some of its batches already; and the other
                    // ranks go on.
                    if i == 0 && self.group.size() == 1 {
                        self.pause(lr, &order, noted)?;
                    }
                    self.progress.finish();
                    return Err(e);
                }
                self.session.set_share(shares[i]);
                let update = i + 1 == batches.len();
                self.session.batch_plan(&self.train, *n, augment, update)?.run(uniform)?;
                throughput.waiting(|| self.gpu.throttle())?;
            }
            self.at.step += 1;
            self.at.tracked += batches.len() as i64 - 1;
            if self.at.seen == 0 && self.group.leads() {
                let (Session { model, params, .. }, step) = (&self.session, self.at.step);
                self.watch.after_first_step(model, step, || params.export_trained())?;
            }
            self.at.seen += now;
            self.progress_step(lr, now)?;
        }
        self.look(lr)?;
        self.count_correct(&order, noted)?;
        throughput.end(images, &self.train);
        self.end_epoch(lr, end, &throughput)?;
        Ok(config.train.max_steps.is_some_and(|m| self.at.step as usize >= m))
    }

    /// What is saved when an epoch is left: all steps so far, with their losses and right predictions.
    fn pause(&mut self, lr: f64, order: &[u32], noted: usize) -> Result<()> {
        self.look(lr)?;
        self.count_correct(order, noted)?;
        self.save()
    }

    fn progress_step(&mut self, lr: f64, images: usize) -> Result<()> {
        let every = self.config.train.log_steps.map_or(LOOK, |s| (s as u32).min(LOOK));
        let loss = if self.at.step.is_multiple_of(every) { self.look(lr)? } else { None };
        self.progress.step(loss, images);
        Ok(())
    }

    /// Reads the losses since the last look, adds them up, writes step lines, and stops the run if
    /// something was not finite. `images` of each step follow from its position.
    fn look(&mut self, lr: f64) -> Result<Option<f32>> {
        if self.looked == self.at.step {
            return Ok(None);
        }
        if let Some(alarm) = self.session.sgd.alarm(&self.gpu, &self.session.params)? {
            self.progress.finish();
            let traced =
                if self.options.trace_nan { self.trace(&alarm, lr)? } else { trace::ASK.into() };
            let error = trace::not_finite(&alarm, &traced, &self.run.last());
            return Err(self.group.told_by_lead(error));
        }
        let losses = self.session.sgd.losses(&self.gpu, self.looked, self.at.step)?;
        let norms = self.session.sgd.norms(&self.gpu, self.looked, self.at.step)?;
        let take = self.feed.step_len(self.at.epoch);
        let steps = losses.len();
        for (i, loss) in losses.iter().enumerate() {
            let step = self.looked + i as u32 + 1;
            // Every step but an epoch's last is whole.
            let last = i + 1 == steps;
            let images = if last { (self.at.seen - 1) % take + 1 } else { take };
            self.at.loss_sum += f64::from(*loss) * images as f64;
            if self
                .config
                .train
                .log_steps
                .is_some_and(|every| (step as usize).is_multiple_of(every))
            {
                let mut line = json!({"event": "step", "step": step, "loss": loss, "lr": lr});
                let mut scalars = vec![("step/loss", f64::from(*loss)), ("step/learning_rate", lr)];
                if let Some(norm) = norms.as_ref().map(|norms| norms[i]) {
                    line["gradient_norm"] = norm.into();
                    scalars.push(("step/gradient_norm", f64::from(norm)));
                }
                self.emit(&line);
                self.events.scalars(u64::from(step), &scalars)?;
            }
        }
        self.looked = self.at.step;
        Ok(losses.last().copied())
    }

    /// Counts right predictions of the positions `from..seen`.
    fn count_correct(&mut self, order: &[u32], from: usize) -> Result<()> {
        let predicted = self.train.read_predictions(self.at.seen)?;
        let labels = &self.splits.train.labels;
        let (batch, seen) = (self.feed.batch(self.at.epoch), self.at.seen);
        let own = (from..seen).step_by(batch).flat_map(|at| self.own(at, batch.min(seen - at)));
        let right = own.filter(|p| predicted[*p] == labels[order[*p] as usize]).count();
        self.at.correct += self.group.total(right)?;
        Ok(())
    }

    fn end_epoch(&mut self, lr: f64, seen: usize, throughput: &Throughput) -> Result<()> {
        let epoch = self.at.epoch;
        let exchanged = self.group.take_spent().as_secs_f64();
        let last = epoch + 1 == self.config.train.epochs;
        let loss = self.at.loss_sum / seen as f64;
        let accuracy = self.at.correct as f64 / seen as f64;
        if last && self.group.leads() {
            self.edit()?;
        }
        self.share_state()?;
        let evaluate = last || (epoch + 1).is_multiple_of(self.config.train.eval_every);
        let confusion = if evaluate { Some(self.evaluate()?) } else { None };
        let summary = confusion.as_ref().map(|c| c.summary(&self.about.counts)).transpose()?;
        let (held, peak) = self.gpu.memory();
        let mut row = json!({
            "event": "epoch", "epoch": epoch, "step": self.at.step, "lr": lr, "loss": loss,
            "train_accuracy": accuracy, "images_per_second": throughput.rate(),
            "stream": throughput.stream(),
            "gpu_bytes": held, "gpu_bytes_peak": peak, "test": &summary,
        });
        self.emit(&row);
        row["device"] = self.gpu.describe().into();
        row["seconds"] = throughput.elapsed().into();
        row["confusion"] = json!(confusion.map(|c| c.mistakes(KEPT)));
        if self.group.leads() {
            row["inside"] = json!(self.inside()?);
        }
        if self.group.size() > 1 {
            row["ranks"] = self.group.size().into();
            row["exchange_seconds"] = exchanged.into();
        }
        let scaled = self.session.sgd.scaled(&self.gpu)?;
        row["loss_scale"] = json!(scaled);
        self.run.append_metrics(&row)?;
        let step = u64::from(self.at.step);
        let mut scalars = vec![
            ("train/loss", loss),
            ("train/accuracy", accuracy),
            ("train/learning_rate", lr),
            ("train/images_per_second", throughput.rate()),
        ];
        let mut line = format!("loss {loss:.4}  train {:.1} %", accuracy * 100.0);
        if let Some(s) = &summary {
            scalars.push(("test/accuracy", s.overall));
            for (tag, value) in
                [("test/many", s.many), ("test/medium", s.medium), ("test/few", s.few)]
            {
                scalars.extend(value.map(|v| (tag, v)));
            }
            line += &format!("  test {}", s.line());
        }
        line += &throughput.line();
        if let Some(Scaled { scale, skipped, .. }) = scaled {
            scalars.push(("train/loss_scale", scale.into()));
            line += &format!("  loss scale {scale}");
            if skipped > 0 {
                line += &format!(", {skipped} steps left out");
            }
        }
        self.events.scalars(step, &scalars)?;
        self.events.flush()?;
        self.progress.epoch(&line);
        let best = summary.as_ref().is_some_and(|s| s.overall > self.at.best);
        if let Some(s) = &summary {
            self.at.best = self.at.best.max(s.overall);
        }
        self.summary = summary;
        self.at =
            Position { epoch: epoch + 1, seen: 0, loss_sum: 0.0, correct: 0, ..self.at.clone() };
        if best && self.group.leads() {
            self.run.save_best(&self.checkpoint(false)?)?;
        }
        self.save()
    }

    fn inside(&self) -> Result<Inside> {
        let Session { model, params, .. } = &self.session;
        Ok(self.watch.inside(model, &params.export_trained()?, &params.export_gradients()?))
    }

    fn evaluate(&mut self) -> Result<Confusion> {
        let predicted = self.classify_test()?;
        let mut confusion = Confusion::new(self.about.classes.len());
        for (p, truth) in predicted.iter().zip(&self.splits.test.labels) {
            confusion.add(*truth as usize, *p as usize)?;
        }
        Ok(confusion)
    }

    fn emit(&self, object: &Value) {
        if self.options.json && self.group.leads() {
            say(format_args!("{object}"));
        }
    }
}

/// A failure of the device or the disk, with the way on from what was saved before.
fn resumable(error: Error, out: &Path) -> Error {
    match error {
        Error::Device(_) | Error::Io { .. } => Error::Failure(format!(
            "{error}; what was saved before is whole, continue with: evenkeel train --resume --out {}",
            out.display()
        )),
        other => other,
    }
}

// The ring must hold the losses between two looks.
const _: () = assert!((LOOK as usize) < Sgd::RING);
