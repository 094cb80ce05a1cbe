//! What a run begins with: the parameters of `--init` and what is found by them, or all of its last checkpoint.

use super::*;
use crate::data::neighbours::Points;
use crate::data::smote::Smote;
use crate::nn::CENTROIDS;
use crate::train::config::Head;
use crate::train::post::class_means;

impl Trainer<'_> {
    /// Parameters from `--init`, or everything from the run's last checkpoint.
    pub(super) fn start(&mut self) -> Result<()> {
        if let (Some(t), Some(init)) = (self.config.optim.max_norm, &self.config.train.init) {
            let file = Checkpoint::load(init)?;
            let weight = floats(&file).into_iter().find(|(name, ..)| is_head_weight(name));
            let (_, shape, weight) =
                weight.ok_or_else(|| Error::data(init, "holds no classifier's weight"))?;
            self.session.sgd.row_limit = Some(parts::row_limit(t, &weight, shape[0]));
        }
        if !self.group.leads() {
            return if self.options.resume { Ok(()) } else { self.first_plan() };
        }
        for skipped in &self.splits.skipped {
            self.progress.message(&format!("left out {skipped}"));
        }
        if let Some(told) = self.feed.told() {
            self.progress.message(&told);
        }
        if !self.options.resume {
            self.begin_from_init()?;
            return self.first_plan();
        }
        let Some(latest) = self.run.load_latest()? else {
            self.begin_from_init()?;
            self.run.truncate_metrics(None)?;
            self.progress.message("no checkpoint yet: the run starts from its beginning");
            return Ok(());
        };
        if let Some(why) = &latest.rejected {
            let used = latest.path.display();
            self.progress.warn(&format!("{why}; continuing from {used}"));
        }
        let file = &latest.checkpoint;
        self.same_ranks(Self::ranks_of(file), &latest.path)?;
        self.fingerprint.check(file.meta.get("data"), &latest.path)?;
        if let Some(teacher) = &self.session.teacher {
            teacher.check(file.meta.get(TEACHER), &latest.path)?;
        }
        self.session.params.import(&floats(file)).map_err(|e| at_file(&latest.path, e))?;
        if let Some(encoder) = &self.session.encoder {
            encoder.import(&beside(file)).map_err(|e| at_file(&latest.path, e))?;
        }
        if let Some(scaled) = file.meta.get(LOSS_SCALE) {
            let scaled = serde_json::from_str(scaled)
                .map_err(|e| Error::data(&latest.path, format!("its loss scale: {e}")))?;
            self.session.sgd.scale_as(&self.gpu, scaled);
        }
        let position = file.meta.get("position").map(|p| serde_json::from_str(p));
        let Some(Ok(position)) = position else {
            return Err(Error::data(&latest.path, "holds no position to resume from"));
        };
        self.at = position;
        self.looked = self.at.step;
        self.run.truncate_metrics(self.at.epoch.checked_sub(1).map(|e| e as u64))?;
        self.events = EventWriter::create(self.run.path(), Some(u64::from(self.at.step)))?;
        self.progress.resume_at(self.at.epoch, self.at.step as usize);
        let (epoch, step) = (self.at.epoch + 1, self.at.step);
        self.progress.message(&format!("continuing in epoch {epoch}, after step {step}"));
        Ok(())
    }

    /// Plans the first step before anything is written, so that a batch that does not fit is told
    /// at once.
    fn first_plan(&mut self) -> Result<()> {
        let augment = self.config.input.augment != Augment::None;
        let n = self.own(0, self.feed.batch(0)).len();
        self.session.train_plan(&self.train, n, augment).map(|_| ())
    }

    /// The parameters of `--init`.
    fn begin_from_init(&mut self) -> Result<()> {
        if let Some(init) = &self.config.train.init {
            let file = Checkpoint::load(init)?;
            self.at.tracked = tracked(&file);
            let fresh = self.config.train.start_head == StartHead::Fresh;
            start_from(&self.session.params, &file, fresh).map_err(|e| at_file(init, e))?;
            if let Some(encoder) = &self.session.encoder {
                encoder.begin_as(&self.session.params)?;
            }
        }
        Ok(())
    }

    /// SMOTE's neighbours by the features of the network, which is fixed: a resumed run finds the same.
    pub(super) fn find_neighbours(&mut self) -> Result<()> {
        if self.config.input.sampler == Sampler::Smote {
            let labels = &self.splits.train.labels;
            let stored: Vec<u32> = (0..labels.len() as u32).collect();
            self.train.set_order(&stored);
            let batch = self.config.train.batch_size;
            let features = self.session.features(&self.train, labels.len(), batch)?;
            let points = Points::new(&features, features.len() / labels.len().max(1));
            let (classes, k) = (self.splits.counts.len(), self.config.input.neighbours);
            self.feed.smote = Some(Smote::new(&points, labels, classes, k));
        }
        Ok(())
    }

    /// At a run's beginning each centroid of a memory is the mean of its class's features.
    pub(super) fn fill_memory(&mut self) -> Result<()> {
        if self.config.model.head != Head::Memory || self.at.step > 0 {
            return Ok(());
        }
        let labels = self.splits.train.labels.as_slice();
        let (classes, batch) = (self.splits.counts.len(), self.config.train.batch_size);
        let means = class_means(&mut self.session, (&self.train, labels), classes, batch)?;
        let mut all = self.session.params.export(false)?;
        for (_, _, values) in all.iter_mut().filter(|(name, ..)| name == CENTROIDS) {
            values.iter_mut().zip(&means).for_each(|(v, mean)| *v = *mean as f32);
        }
        self.session.params.import(&all)
    }
}
