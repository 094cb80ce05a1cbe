//! Changes to a trained classifier: W and b of the linear head are edited in place, so the checkpoint,
//! `eval` and `predict` all use the edited one.
//!
//! tau-norm (Kang et al., ICLR 2020): W_j ← W_j/‖W_j‖^τ, b ← 0. Logit adjustment (Menon et al., ICLR 2021):
//! b_j ← b_j − τ·log π_j. NCM: the class whose mean feature m_j is nearest to f, which is the linear
//! classifier W_j = m_j, b_j = −½‖m_j‖².

use super::config::{ModelCfg, Post};
use super::device_set::DeviceSet;
use super::session::Session;
use crate::error::Result;
use crate::nn::{Named, of_head};

/// Edits the classifier of `session` as `model` says; `train` is the training set with its labels.
///
/// # Errors
/// What the device reports.
pub fn edit(
    session: &mut Session,
    model: &ModelCfg,
    counts: &[usize],
    (train, labels): (&DeviceSet, &[u32]),
    batch_size: usize,
) -> Result<()> {
    let tau = model.post_tau;
    if model.post == Post::None {
        return Ok(());
    }
    let means = match model.post {
        Post::Ncm => class_means(session, (train, labels), counts.len(), batch_size)?,
        _ => Vec::new(),
    };
    let mut all = session.params.export(false)?;
    edit_named(&mut all, model.post, tau, counts, &means);
    session.params.import(&all)
}

/// Edits the classifier's weight and bias among `all`.
fn edit_named(all: &mut [Named], post: Post, tau: f64, counts: &[usize], means: &[f64]) {
    let features = means.len() / counts.len().max(1);
    let total = counts.iter().sum::<usize>() as f64;
    for (name, shape, values) in all {
        match (of_head(name).unwrap_or_default(), post) {
            ("weight", Post::TauNorm) => {
                for row in values.chunks_mut(shape[1]) {
                    let square: f64 = row.iter().map(|w| f64::from(*w).powi(2)).sum();
                    let factor = square.sqrt().max(1e-12).powf(-tau);
                    row.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
                }
            }
            ("bias", Post::TauNorm) => values.fill(0.0),
            ("bias", Post::LogitAdjustment) => {
                for (b, n) in values.iter_mut().zip(counts) {
                    *b -= (tau * ((*n).max(1) as f64 / total).ln()) as f32;
                }
            }
            ("weight", Post::Ncm) => {
                values.iter_mut().zip(means).for_each(|(w, m)| *w = *m as f32);
            }
            ("bias", Post::Ncm) => {
                for (b, mean) in values.iter_mut().zip(means.chunks(features)) {
                    *b = (-0.5 * mean.iter().map(|m| m * m).sum::<f64>()) as f32;
                }
            }
            _ => {}
        }
    }
}

/// The mean (of the first expert's) feature of each class [C, I], row by row.
///
/// # Errors
/// What the device reports.
pub(super) fn class_means(
    session: &mut Session,
    (set, labels): (&DeviceSet, &[u32]),
    classes: usize,
    batch_size: usize,
) -> Result<Vec<f64>> {
    let stored: Vec<u32> = (0..labels.len() as u32).collect();
    set.set_order(&stored);
    let mut sums: Vec<f64> = Vec::new();
    let mut counts = vec![0usize; classes];
    session.maps(set, labels.len(), batch_size, |first, maps, _, [h, w]| {
        let images = (labels.len() - first).min(batch_size);
        let features = maps.len() / (images * h * w);
        sums.resize(classes * features, 0.0);
        for (i, image) in maps.chunks(features * h * w).enumerate() {
            let class = labels[first + i] as usize;
            counts[class] += 1;
            for (k, plane) in image.chunks(h * w).enumerate() {
                let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / (h * w) as f64;
                sums[class * features + k] += mean;
            }
        }
    })?;
    let features = sums.len() / classes.max(1);
    for (class, row) in sums.chunks_mut(features.max(1)).enumerate() {
        row.iter_mut().for_each(|v| *v /= counts[class].max(1) as f64);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Vec<Named> {
        vec![
            ("linear.weight".into(), vec![2, 2], vec![3.0, 4.0, 0.6, 0.8]),
            ("linear.bias".into(), vec![2], vec![0.5, -0.5]),
            ("conv1.weight".into(), vec![1], vec![7.0]),
        ]
    }

    #[test]
    fn edits_follow_their_formulas_and_touch_only_the_head() {
        let mut tau = head();
        edit_named(&mut tau, Post::TauNorm, 1.0, &[90, 10], &[]);
        assert_eq!(tau[0].2, [0.6, 0.8, 0.6, 0.8]);
        assert_eq!(tau[1].2, [0.0, 0.0]);
        let mut half = head();
        edit_named(&mut half, Post::TauNorm, 0.5, &[90, 10], &[]);
        assert!((half[0].2[0] - 3.0 / 5f32.sqrt()).abs() < 1e-6);
        let mut adjusted = head();
        edit_named(&mut adjusted, Post::LogitAdjustment, 2.0, &[90, 10], &[]);
        assert!((adjusted[1].2[1] - (-0.5 - 2.0 * 0.1f32.ln())).abs() < 1e-6);
        let mut ncm = head();
        edit_named(&mut ncm, Post::Ncm, 1.0, &[90, 10], &[1.0, 2.0, 3.0, 0.0]);
        assert_eq!(ncm[0].2, [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(ncm[1].2, [-2.5, -4.5]);
        for edited in [tau, half, adjusted, ncm] {
            assert_eq!(edited[2].2, [7.0]);
        }
    }
}
