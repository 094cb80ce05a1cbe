//! The momentum encoder of PaCo (Cui et al., ICCV 2021; MoCo, He et al., CVPR 2020): a second network of the
//! same form, θ_k ← m·θ_k + (1 − m)·θ after each step, which no gradient reaches, and a queue of the features that
//! it made of earlier images, with their labels.
//!
//! A batch holds two views of its images, one view behind the other: the network that learns sees the first,
//! this one the second. Its parameters and the queue are kept in checkpoints that a run goes on from.

use super::about::BESIDE;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::Effect;
use crate::loss::Objective;
use crate::loss::parametric::{Compared, Parametric, parametric_contrast};
use crate::nn::{Builder, Kind, Mode, Named, Params, ResNet, Scope, Spec};
use crate::ops;
use crate::tensor::Tensor;
use evenkeel_kernels::optim;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use std::rc::Rc;

/// Names, behind [`BESIDE`], of the queue's parts.
const QUEUE: [&str; 2] = ["queue", "queue_labels"];

/// The second network with its queue.
pub struct MomentumEncoder {
    gpu: Rc<Gpu>,
    model: ResNet,
    params: Params,
    queue: Tensor,
    queue_labels: Tensor,
    keep: f32,
    factors: Parametric,
}

/// What a recipe says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentumSpec {
    /// Features that the queue holds: a whole number of batches.
    pub queue: usize,
    /// m
    pub keep: f32,
    /// The loss's factors.
    pub factors: Parametric,
}

/// A traced step.
pub struct Traced {
    /// The loss \[1\].
    pub loss: Tensor,
    /// Logits of all views [2N, classes]: the first views' by the network that learns, the second's by this one.
    pub output: Tensor,
    /// z, the second views' features, for the queue [N, D].
    keys: Tensor,
    /// Their labels \[N\].
    labels: Tensor,
}

impl MomentumEncoder {
    /// A network of `network`, and a queue of random features and labels as the authors start it: normal
    /// numbers, each of the D columns scaled to length 1.
    ///
    /// # Errors
    /// No memory.
    pub fn new(gpu: &Rc<Gpu>, network: &Spec<'_>, spec: &MomentumSpec, seed: u64) -> Result<Self> {
        let mut builder = Builder::default();
        let model = ResNet::new(&mut builder, network)?;
        let params = Params::new(gpu, builder, seed)?;
        let (k, d) = (spec.queue, network.projected.width);
        let mut rng = StdRng::seed_from_u64(seed ^ 0x7175_6575);
        let mut values: Vec<f32> = (0..k * d).map(|_| rng.sample(StandardNormal)).collect();
        for column in 0..d {
            let each = (column..k * d).step_by(d);
            let length = each.clone().map(|i| f64::from(values[i]).powi(2)).sum::<f64>().sqrt();
            each.for_each(|i| values[i] = (f64::from(values[i]) / length) as f32);
        }
        let labels: Vec<u32> =
            (0..k).map(|_| rng.random_range(0..network.classes as u32)).collect();
        Ok(MomentumEncoder {
            gpu: gpu.clone(),
            model,
            params,
            queue: Tensor::new(gpu, &values, [k, d])?,
            queue_labels: Tensor::integers(gpu, &labels, [k])?,
            keep: spec.keep,
            factors: spec.factors,
        })
    }

    /// Takes the values of the network that learns.
    ///
    /// # Errors
    /// A lost device.
    pub fn begin_as(&self, learner: &Params) -> Result<()> {
        self.params.import(&learner.export_trained()?)
    }

    /// The loss of two views `images` [2N, 3, H, W] with `labels` \[2N\], seen by `model` and by this network.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn trace(
        &self,
        objective: &Objective,
        (model, scope): (&ResNet, &Scope<'_>),
        images: &Tensor,
        labels: &Tensor,
    ) -> Result<Traced> {
        let n = images.dims()[0] / 2;
        let labels = ops::rows(labels, 0, n)?;
        let seen = model.pass(scope, &ops::rows(images, 0, n)?)?;
        let own = Scope::new(&self.params, Mode::Train);
        let pass = self.model.pass(&own, &ops::rows(images, n, n)?)?;
        let keys = ops::detach(&self.model.project(&own, &pass.features[0])?);
        let compared = Compared {
            anchors: &model.project(scope, &seen.features[0])?,
            keys: &keys,
            queue: &self.queue,
            labels: &labels,
            queue_labels: &self.queue_labels,
            centres: &objective.with_shares(&seen.output)?,
        };
        Ok(Traced {
            loss: parametric_contrast(&compared, &self.factors)?,
            output: ops::concat(&[seen.output, pass.output])?,
            keys,
            labels,
        })
    }

    /// What follows the update of `learner`: this network's own, unless `flag` is set, and the queue's.
    pub fn follow(&self, traced: &Traced, learner: &Params, flag: &Tensor) -> Vec<Effect> {
        let caps = &self.gpu.caps;
        let words = |t: &Tensor| t.shape().len() as u32;
        let enqueue = |rows: &Tensor, ring: &Tensor| Effect {
            name: "enqueue",
            program: optim::enqueue(words(rows), words(ring), caps),
            args: vec![rows.clone(), ring.clone()],
        };
        let parts = self.params.learned.iter().zip(&learner.learned);
        let follow = parts.map(|(own, theirs)| Effect {
            name: "momentum",
            program: optim::running_update(words(&own.values), 1.0 - self.keep, caps),
            args: vec![own.values.clone(), theirs.values.clone(), flag.clone()],
        });
        let enqueued =
            [enqueue(&traced.keys, &self.queue), enqueue(&traced.labels, &self.queue_labels)];
        follow.chain(enqueued).collect()
    }

    /// Parameters and queue, named for a checkpoint.
    ///
    /// # Errors
    /// A lost device.
    pub fn export(&self) -> Result<Vec<Named>> {
        let named = |name: &str| format!("{BESIDE}{name}");
        let parameters: Vec<&str> =
            self.params.slots(Kind::Parameter).map(|s| self.params.name(s)).collect();
        let mut all = self.params.export(false)?;
        all.retain(|(name, ..)| parameters.contains(&name.as_str()));
        let [k, d] = [self.queue.dims()[0], self.queue.dims()[1]];
        all.push((QUEUE[0].into(), vec![k, d], self.queue.to_vec()?));
        if let Some(slice) = self.queue_labels.leaf() {
            let labels: Vec<u32> = self.gpu.read(slice)?;
            let labels = labels.into_iter().map(|l| l as f32).collect();
            all.push((QUEUE[1].into(), vec![k], labels));
        }
        Ok(all.into_iter().map(|(name, shape, v)| (named(&name), shape, v)).collect())
    }

    /// Takes what [`MomentumEncoder::export`] gave.
    ///
    /// # Errors
    /// Missing or misshapen tensors, told at once.
    pub fn import(&self, tensors: &[Named]) -> Result<()> {
        let mut all = Vec::new();
        let mut queue = [None, None];
        for (name, shape, values) in tensors {
            let name = name.strip_prefix(BESIDE).unwrap_or(name);
            match QUEUE.iter().position(|part| *part == name) {
                Some(i) => queue[i] = Some((shape, values)),
                None => all.push((name.to_string(), shape.clone(), values.clone())),
            }
        }
        let fits = |i: usize, own: &Tensor| queue[i].is_some_and(|(s, _)| s == own.dims());
        if !fits(0, &self.queue) || !fits(1, &self.queue_labels) {
            let (k, d) = (self.queue.dims()[0], self.queue.dims()[1]);
            return Err(Error::Failure(format!(
                "the checkpoint holds no queue of {k} features of {d} numbers with their labels"
            )));
        }
        let statistics: Vec<&str> =
            self.params.slots(Kind::Statistic).map(|s| self.params.name(s)).collect();
        let own = self.params.export(false)?.into_iter();
        all.extend(own.filter(|(name, ..)| statistics.contains(&name.as_str())));
        self.params.import(&all)?;
        if let (Some((_, values)), Some(slice)) = (queue[0], self.queue.leaf()) {
            self.gpu.write(slice, values);
        }
        if let (Some((_, labels)), Some(slice)) = (queue[1], self.queue_labels.leaf()) {
            let labels: Vec<u32> = labels.iter().map(|l| *l as u32).collect();
            self.gpu.write(slice, &labels);
        }
        Ok(())
    }
}
