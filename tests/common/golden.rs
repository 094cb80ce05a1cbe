//! Golden files of losses, and values computed to compare with them.

use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::graph::{Plan, Work, Workspace};
use evenkeel::tensor::Tensor;
use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where the golden files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A tensor of floats.
pub fn floats(file: &Checkpoint, name: &str) -> Vec<f32> {
    match file.get(name) {
        Some((_, TensorData::F32(values))) => values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// A tensor of labels.
pub fn labels(file: &Checkpoint, name: &str) -> Vec<u32> {
    match file.get(name) {
        Some((_, TensorData::I64(values))) => values.iter().map(|v| *v as u32).collect(),
        other => panic!("{name}: {other:?}"),
    }
}

/// A golden file, its metadata among the rest.
pub fn open(path: &Path) -> Checkpoint {
    let mut file =
        Checkpoint::load(path).expect("a golden file; `tools/golden.py losses` writes them");
    let bytes = std::fs::read(path).expect("a golden file");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
    file.meta.extend(header.metadata().clone().expect("metadata"));
    file
}

/// An entry of the metadata.
pub fn meta<T: serde::de::DeserializeOwned>(file: &Checkpoint, name: &str) -> T {
    serde_json::from_str(&file.meta[name]).expect("metadata")
}

/// The values of `wanted` at step 0 of a run with the golden files' seed.
pub fn computed(gpu: &Rc<Gpu>, wanted: &[&Tensor], seed: [u32; 2]) -> Vec<Vec<f32>> {
    let mut work = Work::new();
    for tensor in wanted {
        work.keep(tensor);
    }
    let plan = Plan::build(&mut Workspace::new(gpu), work).expect("a plan");
    plan.run(&StepUniform { seed, ..Default::default() }).expect("a run");
    wanted.iter().map(|t| plan.read(t).expect("values")).collect()
}

/// Fails where a value is not PyTorch's.
#[track_caller]
pub fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= 2e-5 + 2e-5 * e.abs(), "{what}[{i}]: {f}, PyTorch has {e}");
    }
}
