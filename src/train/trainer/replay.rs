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
        let batches = self.feed.batches(lr, self.at.epoch, alarm.step, (first, n));
        let (batches, shares) = self.own_batches(batches);
        let mut found = None;
        for (i, (n, uniform)) in batches.iter().enumerate() {
            self.train.stage(uniform.first as usize, *n)?;
            self.session.set_share(shares[i]);
            let plan = self.session.train_plan(&self.train, *n, augment)?;
            let culprit = plan.trace(uniform)?;
            let steps = plan.steps().to_vec();
            let told = trace::explain(&steps, culprit.as_ref(), &self.session.params);
            let at = culprit.map_or(usize::MAX, |c| i * steps.len() + c.at);
            found = Some(found.filter(|(before, _)| *before < at).unwrap_or((at, told)));
            // Ranks exchange in what follows: none may end before the others.
            if at < usize::MAX && self.group.size() == 1 {
                break;
            }
        }
        let (at, told) = found.unwrap_or((usize::MAX, String::new()));
        self.first_traced(at, told)
    }
}
