//! The values that entries start from: functions of the seed and the entry's name.

use super::{Entry, Init};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// An entry's first values.
pub(super) fn start_values(entries: &[Entry], entry: &Entry, seed: u64) -> Vec<f32> {
    if let Init::RowLengths(of) = entry.init {
        return row_lengths(&start_values(entries, &entries[of.0], seed), entry.shape.len());
    }
    // FNV-1a of the name, so that no entry's numbers depend on another's.
    let name = entry.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut rng = StdRng::seed_from_u64(seed ^ name);
    let mut unit = || rng.random::<f64>();
    (0..entry.shape.len())
        .map(|_| match entry.init {
            Init::Constant(v) => v,
            Init::RowLengths(_) => 0.0,
            Init::Uniform(bound) => ((unit() * 2.0 - 1.0) as f32) * bound,
            Init::Normal(sd) => {
                // Box-Muller
                let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
                (radius * (std::f64::consts::TAU * unit()).cos()) as f32 * sd
            }
        })
        .collect()
}

/// ‖v_i‖ of each of `rows` equal parts.
fn row_lengths(values: &[f32], rows: usize) -> Vec<f32> {
    let length = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    values.chunks((values.len() / rows.max(1)).max(1)).map(length).collect()
}
