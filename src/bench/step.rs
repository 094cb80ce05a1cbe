//! A training step of a network, planned as `train` plans it: its time, and each launch's.
//!
//! Random images on the device → [`Session::train_plan`] → rounds of `Plan::run` for the step's own
//! time, then `Plan::profile` for the time of each launch, of which [`group`] makes sums by kernel or
//! op. Launches profiled alone lack the overlap they have in one pass, and copies between them have no
//! timestamp, so shares are shares of the launches' sum.

use super::clock::{Start, Summary, Times, time};
use crate::check::cases::splitmix64;
use crate::data::{CIFAR_MEAN, CIFAR_STD, Dataset};
use crate::error::Result;
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Plan, PlanStats};
use crate::loss::ObjectiveSpec;
use crate::optim::SgdOptions;
use crate::train::about::About;
use crate::train::config::{
    Activations, BiasStart, Branches, Combine, Head, Norm, Precision, WeightNorm,
};
use crate::train::device_set::DeviceSet;
use crate::train::session::Session;
use evenkeel_kernels::Cost;
use std::rc::Rc;

/// Which step.
#[derive(Clone, Debug)]
pub struct StepSpec {
    /// A model of [`crate::nn::MODELS`].
    pub model: String,
    /// Images in a batch.
    pub batch_size: usize,
    /// bn or nbn.
    pub norm: Norm,
    /// Which layers are normalized.
    pub nbn_layers: String,
    /// Classes.
    pub classes: usize,
    /// Rows and columns of an image.
    pub side: usize,
    /// Keep of each block its output alone.
    pub recompute: bool,
    /// As what activations wait for the backward pass.
    pub activations: Activations,
    /// In which numbers the step is computed.
    pub precision: Precision,
}

/// One launch of a step.
#[derive(Clone, Debug)]
pub struct LaunchTime {
    /// The op, or the effect's name.
    pub op: &'static str,
    /// Shape of its first output.
    pub shape: String,
    /// `kernels/file.wgsl:entry`
    pub kernel: String,
    /// FLOPs and bytes by the cost model.
    pub cost: Cost,
    /// Median milliseconds by timestamps; `None` on a device without them.
    pub ms: Option<f64>,
}

/// What a step took, and holds.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Tracing, planning and compiling by naga, ms.
    pub plan_ms: f64,
    /// The first step, with the driver's compilation, ms.
    pub first_ms: f64,
    /// Later steps.
    pub times: Times,
    /// The launches in order.
    pub launches: Vec<LaunchTime>,
    /// Dispatches, FLOPs and bytes.
    pub stats: PlanStats,
    /// Pipelines made for it.
    pub pipelines: usize,
    /// Bytes of the plan's shared buffers.
    pub workspace_bytes: u64,
    /// The most bytes held so far: workspace, parameters, gradients, momentum, images.
    pub peak_bytes: u64,
}

/// Launches that have something in common, together.
#[derive(Clone, Debug)]
pub struct Group {
    /// The common name.
    pub name: String,
    /// How many.
    pub count: usize,
    /// The sum of their costs.
    pub cost: Cost,
    /// The sum of their times, ms; 0 where there are no timestamps.
    pub ms: f64,
}

/// A step on the device, ready to run.
pub struct StepJob {
    gpu: Rc<Gpu>,
    session: Session,
    set: DeviceSet,
    spec: StepSpec,
    uniform: StepUniform,
    plan_ms: f64,
}

impl StepJob {
    /// Builds the network, uploads random images and plans the step.
    ///
    /// # Errors
    /// An unknown model, no memory for the batch, what planning reports.
    pub fn new(gpu: &Rc<Gpu>, spec: &StepSpec) -> Result<Self> {
        let data = images(spec.batch_size, spec.classes, spec.side);
        let about = About {
            model: spec.model.clone(),
            norm: spec.norm,
            nbn_layers: spec.nbn_layers.clone(),
            weight_norm: WeightNorm::None,
            head: Head::Linear,
            head_scale: 1.0,
            experts: 1,
            projected: 0,
            prototypes: true,
            branches: Branches::Late,
            combine: Combine::Mean,
            classes: data.classes.clone(),
            counts: data.class_counts(),
            shape: data.shape,
            mean: data.mean,
            std: data.std,
        };
        let sgd = SgdOptions {
            momentum: 0.9,
            weight_decay: 2e-4,
            loss_scaling: spec.precision == Precision::Mixed,
            ..SgdOptions::default()
        };
        let network = about.spec(BiasStart::Zero)?;
        let mut session = Session::new(gpu, &network, &ObjectiveSpec::default(), sgd, 0)?;
        session.recompute = spec.recompute;
        session.activations = spec.activations;
        let set = DeviceSet::upload(gpu, &data)?;
        let mut job = StepJob {
            gpu: gpu.clone(),
            session,
            set,
            spec: spec.clone(),
            uniform: StepUniform { learning_rate: 0.01, ..Default::default() },
            plan_ms: 0.0,
        };
        let start = Start::now();
        job.plan()?;
        job.plan_ms = start.elapsed().0;
        Ok(job)
    }

    /// The step's plan.
    ///
    /// # Errors
    /// None after [`StepJob::new`], which made it.
    pub fn plan(&mut self) -> Result<&Plan> {
        self.session.train_plan(&self.set, self.spec.batch_size, true)
    }

    /// Nanoseconds of each launch, `rounds` times; nothing on a device without timestamps.
    ///
    /// # Errors
    /// What the device reports.
    pub fn profiles(&mut self, rounds: usize) -> Result<Vec<Vec<f64>>> {
        let uniform = self.uniform;
        let rounds = if self.gpu.timestamps { rounds } else { 0 };
        let plan = self.plan()?;
        (0..rounds).map(|_| plan.profile(&uniform)).collect()
    }

    /// Runs `steps` steps and waits for them.
    ///
    /// # Errors
    /// What the device reports.
    pub fn run(&mut self, steps: usize) -> Result<()> {
        let plan = self.session.train_plan(&self.set, self.spec.batch_size, true)?;
        for _ in 0..steps {
            plan.run(&self.uniform)?;
            self.uniform.step += 1;
            self.gpu.throttle()?;
        }
        self.gpu.wait()
    }

    /// Times the step over `rounds` rounds, and each launch as the median of `profiles` profiles.
    ///
    /// # Errors
    /// What the device reports.
    pub fn measure(&mut self, rounds: usize, profiles: usize) -> Result<Measured> {
        let start = Start::now();
        self.run(1)?;
        let first_ms = start.elapsed().0;
        let times = time(rounds, |k| self.run(k))?;
        let found = self.profiles(profiles)?;
        let plan = self.session.train_plan(&self.set, self.spec.batch_size, true)?;
        let at = |i: usize| {
            let times: Vec<f64> = found.iter().filter_map(|p| p.get(i).copied()).collect();
            (!times.is_empty()).then(|| Summary::of(&times).median / 1e6)
        };
        let all = plan.steps().iter().flat_map(|s| s.calls.iter().map(move |c| (s, c)));
        let launches = all
            .enumerate()
            .map(|(i, (s, (kernel, cost)))| LaunchTime {
                op: s.op,
                shape: s.shape.clone(),
                kernel: kernel.clone(),
                cost: *cost,
                ms: at(i),
            })
            .collect();
        Ok(Measured {
            plan_ms: self.plan_ms,
            first_ms,
            times,
            launches,
            stats: plan.stats().clone(),
            pipelines: self.gpu.pipelines_made(),
            workspace_bytes: self.session.workspace_bytes(),
            peak_bytes: self.gpu.memory().1,
        })
    }
}

/// Sums over launches of the same `name`, the longest first.
pub fn group(launches: &[LaunchTime], name: impl Fn(&LaunchTime) -> String) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for launch in launches {
        let name = name(launch);
        let at = groups.iter().position(|g| g.name == name).unwrap_or_else(|| {
            groups.push(Group { name, count: 0, cost: Cost::default(), ms: 0.0 });
            groups.len() - 1
        });
        let g = &mut groups[at];
        g.count += 1;
        g.cost = g.cost + launch.cost;
        g.ms += launch.ms.unwrap_or(0.0);
    }
    groups.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    groups
}

/// Of the launches' time, the share of ops whose name says convolution.
pub fn convolution_share(launches: &[LaunchTime]) -> Option<f64> {
    let total: f64 = launches.iter().filter_map(|l| l.ms).sum();
    let convs: f64 =
        launches.iter().filter(|l| l.op.starts_with("conv")).filter_map(|l| l.ms).sum();
    (total > 0.0).then(|| convs / total)
}

/// `n` square images of noise, labels in turn.
pub(super) fn images(n: usize, classes: usize, side: usize) -> Dataset {
    let shape = [3, side, side];
    let bytes: usize = shape.iter().product();
    Dataset {
        name: "noise".into(),
        classes: (0..classes).map(|c| format!("class {c}")).collect(),
        shape,
        pixels: (0..(n * bytes) as u64).map(|i| splitmix64(i) as u8).collect(),
        labels: (0..n).map(|i| (i % classes.max(1)) as u32).collect(),
        files: None,
        mean: CIFAR_MEAN,
        std: CIFAR_STD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(op: &'static str, ms: f64) -> LaunchTime {
        let cost = Cost { flops: 2, read: 3, written: 4 };
        LaunchTime { op, shape: "[1]".into(), kernel: format!("k/{op}"), cost, ms: Some(ms) }
    }

    #[test]
    fn groups_add_up_and_come_longest_first() {
        let all = [launch("conv2d", 1.0), launch("batch_norm", 5.0), launch("conv2d", 2.0)];
        let groups = group(&all, |l| l.op.to_string());
        let names: Vec<(&str, usize, f64)> =
            groups.iter().map(|g| (g.name.as_str(), g.count, g.ms)).collect();
        assert_eq!(names, [("batch_norm", 1, 5.0), ("conv2d", 2, 3.0)]);
        assert_eq!(groups[1].cost, Cost { flops: 4, read: 6, written: 8 });
        assert_eq!(convolution_share(&all), Some(3.0 / 8.0));
    }
}
