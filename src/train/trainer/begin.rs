//! What a run begins with: the parameters of `--init`, and what is found by them.

use super::*;
use crate::data::neighbours::Points;
use crate::data::smote::Smote;
use crate::nn::CENTROIDS;
use crate::train::config::Head;
use crate::train::post::class_means;

impl Trainer<'_> {
    /// The parameters of `--init`.
    pub(super) fn begin_from_init(&mut self) -> Result<()> {
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
