//! What several processes that train one run share: parts of every batch, their weights in the loss, the state
//! that rank 0 decides, evaluation.
//!
//! Rank 0 alone reads and writes the run's folder, and tells; the others hold the same parameters, see their
//! part of every batch and of the test images, and stop where it stops.

use super::*;
use crate::dist::Group;
use crate::gpu::StepUniform;
use crate::loss::Weights;
use crate::nn::Named;
use std::ops::Range;

/// Where a checkpoint tells how many ranks trained.
const RANKS: &str = "ranks";

/// The run's folder: made or opened by rank 0, known to the others.
pub(super) fn folder(config: &Config, options: &Options) -> Result<RunDir> {
    let mut held = None;
    let path = options.group.lead(|| {
        let run = match (&options.out, options.resume) {
            (Some(out), true) => RunDir::resume(out)?,
            (None, true) => {
                return Err(Error::usage("--resume needs --out DIR, the run to continue"));
            }
            (out, false) => RunDir::create(out.as_deref(), config)?,
        };
        let path = run.path().to_string_lossy().into_owned();
        held = Some(run);
        Ok(path)
    })?;
    Ok(held.unwrap_or_else(|| RunDir::follow(Path::new(&path))))
}

/// What tells each rank's share of a batch's loss: which images there are, and their classes' weights.
pub(super) struct Shares {
    order: Vec<u32>,
    weights: Vec<f32>,
}

impl Trainer<'_> {
    /// This rank's part of the positions `first..first + all` of a batch of all ranks.
    pub(super) fn own(&self, first: usize, all: usize) -> Range<usize> {
        let views = parts::views(self.config);
        let images = self.group.part(all / views);
        first + images.start * views..first + images.end * views
    }

    /// This rank's parts of the batches of a step of all ranks, and its share of each one's loss: Σ v_y over the
    /// part by Σ v_y over the batch, v being the class weights that hold.
    pub(super) fn own_batches(
        &self,
        batches: Vec<(usize, StepUniform)>,
    ) -> (Vec<(usize, StepUniform)>, Vec<f32>) {
        let labels = &self.splits.train.labels;
        let of = |(n, uniform): (usize, StepUniform)| {
            let first = uniform.first as usize;
            let own = self.own(first, n);
            let share = self.shares.as_ref().map_or(1.0, |Shares { order, weights }| {
                let sum = |positions: Range<usize>| -> f64 {
                    let label = |image: &u32| labels[*image as usize] as usize;
                    order[positions].iter().map(|i| f64::from(weights[label(i)])).sum()
                };
                sum(own.clone()) / sum(first..first + n)
            });
            ((own.len(), StepUniform { first: own.start as u32, ..uniform }), share as f32)
        };
        batches.into_iter().map(of).unzip()
    }

    /// What tells the shares of an epoch's batches, where there are several ranks.
    pub(super) fn shares(&self, epoch: usize, order: &[u32]) -> Option<Shares> {
        if self.group.size() == 1 {
            return None;
        }
        let counts = &self.about.counts;
        let on = parts::weighted(self.config, epoch);
        let weights =
            if on { parts::objective(self.config, counts).weights } else { Weights::Even };
        Some(Shares { order: order.to_vec(), weights: weights.of(counts) })
    }

    /// Has a streamed set read this rank's parts of the epoch's batches alone.
    pub(super) fn keep_to_own(&self, epoch: usize) {
        if self.group.size() > 1 {
            let (batch, end) = (self.feed.batch(epoch), self.feed.end(epoch));
            let parts = (0..end).step_by(batch).flat_map(|at| self.own(at, batch.min(end - at)));
            self.train.keep_to(parts.collect());
        }
    }

    /// An error where an epoch has a batch that leaves a rank without an image, or the recipe has a part that
    /// one rank alone can hold.
    pub(super) fn fit_for_ranks(&self) -> Result<()> {
        let (ranks, views) = (self.group.size(), parts::views(self.config));
        if ranks > 1 && self.session.encoder.is_some() {
            return Err(Error::usage(
                "PaCo's queue is filled from whole batches, which ranks do not have: train it without mpirun",
            ));
        }
        for epoch in 0..self.config.train.epochs {
            let (images, batch) = (self.feed.end(epoch) / views, self.feed.batch(epoch) / views);
            let rest = images % batch;
            if images == 0 {
                return Err(Error::usage(format!(
                    "drop_last leaves no step of {ranks} ranks in epoch {}: give a smaller --batch-size",
                    epoch + 1
                )));
            }
            if batch < ranks || (0 < rest && rest < ranks) {
                let (last, advice) = match rest {
                    0 => (batch, ""),
                    rest => (rest, ", or --drop-last"),
                };
                return Err(Error::usage(format!(
                    "epoch {}: the last batch of {images} images, {batch} a step, has {last}: too few for \
                     {ranks} ranks. Give another --batch-size{advice}",
                    epoch + 1
                )));
            }
        }
        Ok(())
    }

    /// An error where the run of the checkpoint `at` was trained on another number of ranks.
    pub(super) fn same_ranks(&self, kept: Option<&String>, at: &Path) -> Result<()> {
        let then = kept.map_or(Ok(1), |n| n.parse::<usize>());
        let then = then.map_err(|_| Error::data(at, "tells no number of ranks"))?;
        if then == self.group.size() {
            return Ok(());
        }
        let with = match then {
            1 => "without mpirun".to_string(),
            n => format!("with mpirun -n {n}"),
        };
        Err(Error::usage(format!(
            "the run was trained on {then} ranks, of --batch-size {} each, and would come to other results on \
             {}. Continue it {with}, or start a new run from its parameters (--init)",
            self.config.train.batch_size,
            self.group.size()
        )))
    }

    /// What a checkpoint tells of the ranks; nothing of one.
    pub(super) fn note_ranks(&self, file: &mut Checkpoint) {
        if self.group.size() > 1 {
            file.meta.insert(RANKS.into(), self.group.size().to_string());
        }
    }

    pub(super) fn ranks_of(file: &Checkpoint) -> Option<&String> {
        file.meta.get(RANKS)
    }

    /// Position, parameters, statistics and optimizer as rank 0 begins with them, on every rank; an error where
    /// a rank has other images.
    pub(super) fn share_beginning(&mut self) -> Result<()> {
        if self.group.size() == 1 {
            return Ok(());
        }
        let data = self.group.texts(&text(&self.fingerprint)?)?;
        let differs = data.iter().position(|d| *d != data[0]);
        if let Some(rank) = differs {
            return Err(self.group.told_by_lead(Error::Failure(format!(
                "rank {rank} has other images than rank 0: every rank must find the same files"
            ))));
        }
        let position = self.group.lead(|| text(&self.at))?;
        self.at = serde_json::from_str(&position)
            .map_err(|e| Error::Failure(format!("rank 0's position is none: {e}")))?;
        self.looked = self.at.step;
        let scaled = self.group.lead(|| text(&self.session.sgd.scaled(&self.gpu)?))?;
        let scaled: Option<Scaled> = serde_json::from_str(&scaled)
            .map_err(|e| Error::Failure(format!("rank 0's loss scale is none: {e}")))?;
        if let Some(scaled) = scaled {
            self.session.sgd.scale_as(&self.gpu, scaled);
        }
        self.share_state()
    }

    /// Parameters, statistics and optimizer of rank 0 on every rank.
    pub(super) fn share_state(&mut self) -> Result<()> {
        if self.group.size() == 1 {
            return Ok(());
        }
        let mut state: Vec<Named> = self.session.params.export(true)?;
        for (.., values) in &mut state {
            self.group.broadcast(values)?;
        }
        if self.group.leads() { Ok(()) } else { self.session.params.import(&state) }
    }

    /// The classes of the test images, of which each rank looks at its part.
    pub(super) fn classify_test(&mut self) -> Result<Vec<u32>> {
        let all = self.test.len();
        let batch = self.config.train.batch_size;
        let own = self.session.classify_part(&self.test, self.group.part(all), batch)?;
        self.group.gather_parts(own, all)
    }

    /// Of what tracing told each rank, that of the first op at fault.
    pub(super) fn first_traced(&self, at: usize, told: String) -> Result<String> {
        // The number in a fixed width, so that texts are in its order.
        let all = self.group.texts(&format!("{at:020}{told}"))?;
        let (rank, first) = all.iter().enumerate().min_by_key(|(_, t)| *t).unwrap_or((0, &told));
        let said = first.get(20..).unwrap_or_default();
        Ok(if self.group.size() > 1 { format!("On rank {rank}: {said}") } else { said.into() })
    }
}

/// How many train, for the run's first line.
pub(super) fn described(group: &Group) -> String {
    if group.size() == 1 { String::new() } else { format!(", {} ranks", group.size()) }
}
