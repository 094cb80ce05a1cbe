//! Runs by the library itself, and what their checkpoints hold.

use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use evenkeel::train::stages;
use evenkeel::train::trainer::Options;
use std::path::Path;

/// A quiet run in `out`.
pub fn options(out: &Path, resume: bool) -> Options {
    Options {
        out: Some(out.to_path_buf()),
        resume,
        json: false,
        quiet: true,
        trace_nan: false,
        lose_device_at: None,
        stop: Default::default(),
        group: Default::default(),
    }
}

/// The floats of a run's last checkpoint, by name.
pub fn tensors(run: &Path) -> Vec<(String, Vec<f32>)> {
    let file = Checkpoint::load(&stages::last_checkpoint(run)).expect("a checkpoint");
    let one = |(name, _, data): (String, Vec<usize>, TensorData)| match data {
        TensorData::F32(values) => Some((name, values)),
        _ => None,
    };
    file.tensors.into_iter().filter_map(one).collect()
}
