//! Golden files of methods' parts: tensors by name, and the comparison with what the engine computes.

use crate::common::gpu;
use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::graph::{Plan, Work, Workspace, grad};
use evenkeel::tensor::Tensor;
use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use std::path::Path;
use std::rc::Rc;

/// A file of `tests/golden/methods/`.
pub struct Golden {
    gpu: Rc<Gpu>,
    file: Checkpoint,
    name: String,
}

impl Golden {
    /// The file called `name`.
    pub fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/methods");
        let file = Checkpoint::load(&folder.join(format!("{name}.safetensors")))
            .expect("a golden file; `tools/golden.py methods` writes them");
        Golden { gpu: gpu(), file, name: name.into() }
    }

    /// The values called `name`.
    pub fn values(&self, name: &str) -> Vec<f32> {
        match self.file.get(name) {
            Some((_, TensorData::F32(values))) => values.clone(),
            other => panic!("{}: {name}: {other:?}", self.name),
        }
    }

    /// The tensor called `name`, on the device.
    pub fn tensor(&self, name: &str) -> Tensor {
        let shape = self.file.get(name).expect("a tensor").0.to_vec();
        Tensor::new(&self.gpu, &self.values(name), shape).expect("a tensor")
    }

    /// The labels called `name`, on the device.
    pub fn labels(&self, name: &str) -> Tensor {
        let Some((_, TensorData::I64(values))) = self.file.get(name) else {
            panic!("{}: {name} holds no labels", self.name)
        };
        let labels: Vec<u32> = values.iter().map(|v| *v as u32).collect();
        Tensor::integers(&self.gpu, &labels, [labels.len()]).expect("labels")
    }

    /// Compares `loss` with the file's, its gradients with those of the inputs, and outputs by name.
    pub fn check(&self, loss: &Tensor, inputs: &[(&str, &Tensor)], outputs: &[(&str, &Tensor)]) {
        let leaves: Vec<&Tensor> = inputs.iter().map(|(_, t)| *t).collect();
        let gradients = grad(loss, &leaves).expect("gradients");
        let mut wanted = vec![("loss".to_string(), loss.clone())];
        for ((name, _), gradient) in inputs.iter().zip(gradients) {
            wanted.push((format!("grad.{name}"), gradient.expect("a gradient")));
        }
        wanted.extend(outputs.iter().map(|(name, t)| (name.to_string(), (*t).clone())));
        let mut work = Work::new();
        for (_, tensor) in &wanted {
            work.keep(tensor);
        }
        let plan = Plan::build(&mut Workspace::new(&self.gpu), work).expect("a plan");
        plan.run(&StepUniform::default()).expect("a run");
        for (name, tensor) in &wanted {
            let found: Vec<f32> = plan.read(tensor).expect("values");
            close(&format!("{}: {name}", self.name), &found, &self.values(name));
        }
    }
}

/// Within 2e-5 of the largest value.
#[track_caller]
pub fn close(what: &str, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let most = wanted.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= 2e-5 * most, "{what}[{i}]: {f}, not {w}");
    }
}
