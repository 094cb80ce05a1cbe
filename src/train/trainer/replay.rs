//! A step that made a number that is not finite, once more: alarm → its place in the epoch → its batches, each
//! op by op (`graph/trace.rs`) → a sentence on the first op that made one.

use super::*;

impl Trainer<'_> {
    /// Replays the step of the alarm, batch by batch: no parameter was updated in or after it. It is one of
    /// the epoch under way: an epoch ends with a look.
    pub(super) fn trace(&mut self, alarm: &Alarm, lr: f64) -> Result<String> {
        let take = self.feed.step_len(self.at.epoch);
        let since = (self.at.step - alarm.step) as usize;
        let first = (self.at.seen.div_ceil(take) - since) * take;
        let n = take.min(self.at.seen - first);
        let augment = self.config.input.augment != Augment::None;
        let (mut steps, mut culprit) = (Vec::new(), None);
        for (n, uniform) in self.feed.batches(lr, self.at.epoch, alarm.step, (first, n)) {
            self.train.stage(uniform.first as usize, n)?;
            let plan = self.session.train_plan(&self.train, n, augment)?;
            culprit = plan.trace(&uniform)?;
            steps = plan.steps().to_vec();
            if culprit.is_some() {
                break;
            }
        }
        Ok(trace::explain(&steps, culprit.as_ref(), &self.session.params))
    }
}
