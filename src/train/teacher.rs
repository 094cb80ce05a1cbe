//! The teacher: a trained network beside the one that learns, in the same plan, in inference mode. Its
//! parameters and statistics are leaves that nothing is written to, so they keep their bits.
//!
//! A run's checkpoint → [`Teacher::load`] (the same classes and images, else an error) → [`Teacher::pass`] on each
//! traced batch. Its checksum is kept in the learner's checkpoints, so that a run isn't resumed below another.

use super::about::{About, at_file, floats};
use super::checkpoint::Checkpoint;
use super::config::BiasStart;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::nn::{Builder, Mode, OPTIMIZER_PREFIX, Params, Pass, ResNet, Scope};
use crate::tensor::Tensor;
use std::path::Path;
use std::rc::Rc;

/// The key of a checkpoint's metadata under which its teacher's checksum stands.
pub const META: &str = "teacher";

/// A frozen network.
pub struct Teacher {
    model: ResNet,
    /// Its parameters and statistics.
    pub params: Params,
    /// CRC-32 of them, by name, as text.
    pub fingerprint: String,
}

impl Teacher {
    /// The network of the checkpoint `path`, for a learner that is as `learner` says and, with `attention`,
    /// compares maps.
    ///
    /// # Errors
    /// A file that is no checkpoint of a described network, other classes, images of another shape or
    /// normalized otherwise, several experts where maps are compared.
    pub fn load(gpu: &Rc<Gpu>, path: &Path, learner: &About, attention: bool) -> Result<Self> {
        let file = Checkpoint::load(path)?;
        let about = About::read(&file, path)?
            .ok_or_else(|| Error::data(path, "does not say which network it is of"))?;
        fits(&about, learner, attention).map_err(|e| Error::data(path, e))?;
        let mut tensors = floats(&file);
        tensors.retain(|(name, ..)| !name.starts_with(OPTIMIZER_PREFIX));
        let mut teacher = Self::fresh(gpu, &about, 0)?;
        teacher.params.import(&tensors).map_err(|e| at_file(path, e))?;
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let mut crc = crc32fast::Hasher::new();
        for (name, _, values) in &tensors {
            crc.update(name.as_bytes());
            crc.update(bytemuck::cast_slice(values));
        }
        teacher.fingerprint = format!("{:08x}", crc.finalize());
        Ok(teacher)
    }

    /// A network as `about` says with values from `seed`, to measure what a teacher costs.
    ///
    /// # Errors
    /// No memory.
    pub fn fresh(gpu: &Rc<Gpu>, about: &About, seed: u64) -> Result<Self> {
        let mut builder = Builder::default();
        let model = ResNet::new(&mut builder, &about.spec(BiasStart::Zero)?)?;
        let params = Params::new(gpu, builder, seed)?;
        Ok(Teacher { model, params, fingerprint: String::new() })
    }

    /// What it makes of images [N, 3, H, W], by its running statistics.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn pass(&self, images: &Tensor) -> Result<Pass> {
        self.model.pass(&Scope::new(&self.params, Mode::Eval), images)
    }

    /// Compares with the checksum that a checkpoint `at` of the learner keeps.
    ///
    /// # Errors
    /// Another teacher than the run began with.
    pub fn check(&self, kept: Option<&String>, at: &Path) -> Result<()> {
        match kept {
            Some(kept) if *kept != self.fingerprint => Err(Error::Failure(format!(
                "{}: the teacher has changed since the run began; put its checkpoint back as it was, or start a new run",
                at.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// Why the network of `teacher` cannot teach that of `learner`.
fn fits(teacher: &About, learner: &About, attention: bool) -> std::result::Result<(), String> {
    let (theirs, ours) = (&teacher.classes, &learner.classes);
    if theirs.len() != ours.len() {
        return Err(format!(
            "the teacher knows {} classes, the data has {}",
            theirs.len(),
            ours.len()
        ));
    }
    if let Some((a, b)) = theirs.iter().zip(ours).find(|(a, b)| a != b) {
        return Err(format!("the teacher's classes differ: it has `{a}` where the data has `{b}`"));
    }
    if teacher.shape != learner.shape {
        return Err(format!(
            "the teacher was trained on images of {:?}, these are {:?}",
            teacher.shape, learner.shape
        ));
    }
    if (teacher.mean, teacher.std) != (learner.mean, learner.std) {
        return Err("the teacher's images were normalized by another mean and deviation".into());
    }
    if attention && teacher.experts > 1 {
        return Err(format!(
            "attention compares one network's maps; the teacher has {} experts",
            teacher.experts
        ));
    }
    Ok(())
}
