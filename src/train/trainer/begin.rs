//! What a run begins with: the parameters of `--init`, and what is found by them.

use super::*;
use crate::data::neighbours::Points;
use crate::data::smote::Smote;

impl Trainer<'_> {
    /// The parameters of `--init`.
    pub(super) fn begin_from_init(&mut self) -> Result<()> {
        if let Some(init) = &self.config.train.init {
            let file = Checkpoint::load(init)?;
            self.at.tracked = tracked(&file);
            let fresh = self.config.train.start_head == StartHead::Fresh;
            start_from(&self.session.params, &file, fresh).map_err(|e| at_file(init, e))?;
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
}
