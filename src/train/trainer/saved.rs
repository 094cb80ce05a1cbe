//! What a run leaves on disk to go on from: the network, the optimizer's state, and beside them the recipe, the
//! network's description, the data's checksum and the position.

use super::*;

/// Where a checkpoint keeps the loss scale.
pub(super) const LOSS_SCALE: &str = "loss_scale";

impl Trainer<'_> {
    pub(super) fn save(&mut self) -> Result<()> {
        if !self.group.leads() {
            return Ok(());
        }
        let checkpoint = self.checkpoint(true)?;
        self.run.save_last(&checkpoint)
    }

    pub(super) fn checkpoint(&self, optimizer: bool) -> Result<Checkpoint> {
        let mut file = Checkpoint::default();
        for (name, shape, data) in self.session.params.export(optimizer)? {
            if let Some(layer) = name.strip_suffix("running_var") {
                let count = self.at.tracked + i64::from(self.at.step);
                let name = format!("{layer}num_batches_tracked");
                file.push(name, &[], TensorData::I64(vec![count]));
            }
            file.push(name, &shape, TensorData::F32(data));
        }
        if let Some(encoder) = self.session.encoder.as_ref().filter(|_| optimizer) {
            for (name, shape, data) in encoder.export()? {
                file.push(name, &shape, TensorData::F32(data));
            }
        }
        file.meta.insert("config".into(), self.config.to_toml()?);
        file.meta.insert("about".into(), text(&self.about)?);
        file.meta.insert("data".into(), text(&self.fingerprint)?);
        file.meta.insert("position".into(), text(&self.at)?);
        if optimizer && let Some(scaled) = self.session.sgd.scaled(&self.gpu)? {
            file.meta.insert(LOSS_SCALE.into(), text(&scaled)?);
        }
        self.note_ranks(&mut file);
        if let Some(teacher) = &self.session.teacher {
            file.meta.insert(TEACHER.into(), teacher.fingerprint.clone());
        }
        Ok(file)
    }
}
