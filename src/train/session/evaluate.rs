//! What a network makes of a set beside training: classes, logits, features, maps, a batch's statistics. Batch by
//! batch in the set's order; plans by batch size.

use super::*;

impl Session {
    /// The plan that classifies `n` images of `set` with the running statistics.
    fn eval_plan(&mut self, set: &DeviceSet, n: usize) -> Result<&Plan> {
        let key = (set.key(), n, Use::Classify);
        if !self.plans.contains_key(&key) {
            let scope = Scope::new(&self.params, Mode::Eval);
            let (x, _) = set.batch(n)?;
            let logits = self.model.forward(&scope, &x)?;
            let mut work = Work::new();
            work.effect(predict(&self.gpu, &logits, set.predictions()));
            self.plan(key, work)?;
        }
        self.plans.get(&key).ok_or_else(lost_plan)
    }

    /// The predicted class of each image of `set`, in its order.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn classify(&mut self, set: &DeviceSet, batch_size: usize) -> Result<Vec<u32>> {
        self.classify_part(set, 0..set.len(), batch_size)
    }

    /// [`Session::classify`], of some of the positions of `set`'s order.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn classify_part(
        &mut self,
        set: &DeviceSet,
        part: Range<usize>,
        batch_size: usize,
    ) -> Result<Vec<u32>> {
        if part.is_empty() {
            return Ok(Vec::new());
        }
        self.note_classes_of(set, part.clone(), batch_size)?;
        Ok(set.read_predictions(part.end)?.split_off(part.start))
    }

    /// Has `set` note the predicted class of each of its images, which [`DeviceSet::predictions_async`] reads.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn note_classes(&mut self, set: &DeviceSet, batch_size: usize) -> Result<()> {
        self.note_classes_of(set, 0..set.len(), batch_size)
    }

    fn note_classes_of(
        &mut self,
        set: &DeviceSet,
        part: Range<usize>,
        batch_size: usize,
    ) -> Result<()> {
        let gpu = self.gpu.clone();
        for first in part.clone().step_by(batch_size) {
            let n = batch_size.min(part.end - first);
            set.stage(first, n)?;
            let plan = self.eval_plan(set, n)?;
            plan.run(&StepUniform { first: first as u32, ..Default::default() })?;
            gpu.throttle()?;
        }
        Ok(())
    }

    /// The logits of each image of `set`, in its order: rows of as many numbers as classes.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn logits(&mut self, set: &DeviceSet, batch_size: usize) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        let forward =
            |model: &ResNet, scope: &Scope<'_>, x: &Tensor| model.forward(scope, x).map(|z| [z]);
        self.each_batch(set, set.len(), batch_size, forward, |_, plan, [logits]| {
            all.extend(plan.read::<f32>(logits)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The (first expert's) pooled features of the first `count` images of `set`'s order: rows of as many
    /// numbers as features.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn features(
        &mut self,
        set: &DeviceSet,
        count: usize,
        batch_size: usize,
    ) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        let forward =
            |model: &ResNet, scope: &Scope<'_>, x: &Tensor| model.features(scope, x).map(|f| [f]);
        self.each_batch(set, count, batch_size, forward, |_, plan, [features]| {
            all.extend(plan.read::<f32>(features)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Gives `take` the feature maps and logits of the first `count` images of `set`'s order, batch by
    /// batch: position of the batch's first image, maps [n, C, h, w], logits [n, classes], [h, w].
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn maps(
        &mut self,
        set: &DeviceSet,
        count: usize,
        batch_size: usize,
        mut take: impl FnMut(usize, &[f32], &[f32], [usize; 2]),
    ) -> Result<()> {
        self.each_batch(set, count, batch_size, ResNet::maps_and_logits, |first, plan, values| {
            let [maps, logits] = values;
            let [_, _, h, w] = *maps.dims() else { return Err(lost_plan()) };
            take(first, &plan.read(maps)?, &plan.read(logits)?, [h, w]);
            Ok(())
        })
    }

    /// Evaluates what `forward` makes of the first `count` images of `set`'s order, batch by batch, and gives
    /// `take` the position of each batch's first image with the plan that holds the values. Batches of one
    /// size share a plan.
    fn each_batch<const K: usize>(
        &mut self,
        set: &DeviceSet,
        count: usize,
        batch_size: usize,
        forward: impl Fn(&ResNet, &Scope<'_>, &Tensor) -> Result<[Tensor; K]>,
        mut take: impl FnMut(usize, &Plan, &[Tensor; K]) -> Result<()>,
    ) -> Result<()> {
        let mut made: Option<(usize, Plan, [Tensor; K])> = None;
        for first in (0..count).step_by(batch_size.max(1)) {
            let n = batch_size.min(count - first);
            if made.as_ref().is_none_or(|(size, ..)| *size != n) {
                let scope = Scope::new(&self.params, Mode::Eval);
                let (x, _) = set.batch(n)?;
                let values = forward(&self.model, &scope, &x)?;
                let mut work = Work::new();
                for value in &values {
                    work.keep(value);
                }
                made = Some((n, Plan::build(&mut self.workspace, work)?, values));
            }
            set.stage(first, n)?;
            if let Some((_, plan, values)) = &made {
                plan.run(&StepUniform { first: first as u32, ..Default::default() })?;
                take(first, plan, values)?;
            }
        }
        Ok(())
    }

    /// Normalizes batches of `set`'s order by their own statistics, and gives `take` each one's by name: whole
    /// batches only, of the first `count` images.
    ///
    /// # Errors
    /// What planning or the device reports.
    pub fn batch_statistics(
        &mut self,
        set: &DeviceSet,
        count: usize,
        batch_size: usize,
        mut take: impl FnMut(&str, Vec<f32>),
    ) -> Result<()> {
        let mut scope = Scope::new(&self.params, Mode::Train);
        scope.averaged = true;
        let (x, _) = set.batch(batch_size)?;
        self.model.forward(&scope, &x)?;
        let noted = scope.noted();
        let mut work = Work::new();
        for (_, value) in &noted {
            work.keep(value);
        }
        let plan = Plan::build(&mut self.workspace, work)?;
        for batch in 0..count / batch_size {
            let first = batch * batch_size;
            set.stage(first, batch_size)?;
            plan.run(&StepUniform { first: first as u32, ..Default::default() })?;
            for (slot, value) in &noted {
                take(self.params.name(*slot), plan.read(value)?);
            }
        }
        Ok(())
    }
}
