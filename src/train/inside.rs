//! What a run looks like inside, once an epoch: the sizes of every batch norm's effective weight and
//! bias, α, how far γ and β have turned since their first step, and the gradients' norms.
//!
//! [`Watch`] reads parameters and gradients back once at an epoch's end (and once after the first
//! step that moved them, for the first directions) → [`Inside`], a part of the epoch's line in
//! `metrics.jsonl`. [`affines`] is the same arithmetic on a checkpoint's tensors: the report uses it.

use super::about::floats;
use super::checkpoint::{Checkpoint, TensorData};
use crate::error::Result;
use crate::nn::{NORM_EPS, Named, ResNet, SCALE_FACTOR};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One batch norm's stored vectors and what they amount to.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineOf {
    /// The layer's name.
    pub layer: String,
    /// It is an NBN layer.
    pub normalized: bool,
    /// γ as stored.
    pub gamma: Vec<f32>,
    /// β as stored.
    pub beta: Vec<f32>,
    /// The weight in effect: γ, or α·γ/(‖γ‖+ε).
    pub w: Vec<f64>,
    /// The bias in effect: β, or α·β/(‖β‖+ε).
    pub b: Vec<f64>,
}

/// How the absolute values of a vector spread over its channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean of |v|.
    pub mean: f64,
    /// Largest |v|.
    pub max: f64,
    /// Coefficient of variation: standard deviation of |v| over its mean; 0 for a zero vector.
    pub cv: f64,
}

impl Spread {
    /// Of `v`'s absolute values.
    pub fn of(v: &[f64]) -> Self {
        let n = v.len().max(1) as f64;
        let mean = v.iter().map(|x| x.abs()).sum::<f64>() / n;
        let variance = v.iter().map(|x| (x.abs() - mean).powi(2)).sum::<f64>() / n;
        let max = v.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        Spread { mean, max, cv: if mean > 0.0 { variance.sqrt() / mean } else { 0.0 } }
    }

    /// Largest over mean, 1 for a constant vector; `None` for a zero one.
    pub fn max_over_mean(&self) -> Option<f64> {
        (self.mean > 0.0).then(|| self.max / self.mean)
    }
}

/// A layer at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerInside {
    /// The layer's name.
    pub layer: String,
    /// It is an NBN layer.
    pub normalized: bool,
    /// The effective weight.
    pub w: Spread,
    /// The effective bias.
    pub b: Spread,
    /// Degrees between γ and its first direction.
    pub gamma_angle: Option<f64>,
    /// Degrees between β and its first direction; `None` while either is zero.
    pub beta_angle: Option<f64>,
}

/// A network at the end of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inside {
    /// NBN's α, where the network has it.
    pub alpha: Option<f64>,
    /// The batch norms that have weight and bias, in the order data passes them.
    pub norms: Vec<LayerInside>,
    /// ‖gradient‖₂ of each parameter at the epoch's last step.
    pub gradients: Vec<(String, f64)>,
}

/// α among a network's tensors.
pub fn alpha(tensors: &[Named]) -> Option<f64> {
    let found = tensors.iter().find(|(name, ..)| name == SCALE_FACTOR);
    found.and_then(|(.., v)| v.first()).map(|a| f64::from(*a))
}

/// The batch norms of `model` with weight and bias, from its tensors by name; one whose tensors are
/// missing is left out.
pub fn affines(model: &ResNet, tensors: &[Named]) -> Vec<AffineOf> {
    let get = |name: &str| tensors.iter().find(|(n, ..)| n == name).map(|(.., v)| v.clone());
    model
        .norms()
        .filter(|bn| bn.has_affine())
        .filter_map(|bn| {
            let gamma = get(&format!("{}.weight", bn.name))?;
            let beta = get(&format!("{}.bias", bn.name))?;
            // Each expert has an α of its own.
            let (expert, _) = bn.name.split_at(bn.name.find("layer").unwrap_or(0));
            let alpha = get(&format!("{expert}{SCALE_FACTOR}"));
            let alpha = alpha.and_then(|a| a.first().copied()).map_or(1.0, f64::from);
            let effective = |v: &[f32]| -> Vec<f64> {
                let scale =
                    if bn.normalized() { alpha / (norm(v) + f64::from(NORM_EPS)) } else { 1.0 };
                v.iter().map(|x| f64::from(*x) * scale).collect()
            };
            let (w, b) = (effective(&gamma), effective(&beta));
            let (layer, normalized) = (bn.name.clone(), bn.normalized());
            Some(AffineOf { layer, normalized, gamma, beta, w, b })
        })
        .collect()
}

fn norm(v: &[f32]) -> f64 {
    v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// Degrees between two vectors; `None` if either is zero. Computed from the unit vectors' difference
/// and sum, which keeps its digits near 0° where an arc cosine loses them.
pub fn angle(a: &[f32], b: &[f32]) -> Option<f64> {
    let (na, nb) = (norm(a), norm(b));
    if na == 0.0 || nb == 0.0 || a.len() != b.len() {
        return None;
    }
    let length = |sign: f64| {
        let parts = a.iter().zip(b).map(|(x, y)| f64::from(*x) / na + sign * f64::from(*y) / nb);
        parts.map(|d| d * d).sum::<f64>().sqrt()
    };
    Some(2.0 * length(-1.0).atan2(length(1.0)).to_degrees())
}

/// The file of the first directions in a run's folder.
pub const FIRST: &str = "first-directions.safetensors";

/// Keeps each γ and β as they were after the first step that left neither at zero, in a file of the
/// run's folder so that a resumed run measures against the same.
pub struct Watch {
    path: PathBuf,
    first: Option<Vec<Named>>,
}

impl Watch {
    /// For the run in `folder`; a resumed one knows its first directions if they were noted.
    pub fn new(folder: &Path, resumed: bool) -> Self {
        let path = folder.join(FIRST);
        let kept = resumed.then(|| Checkpoint::load_own(&path).ok()).flatten();
        Watch { path, first: kept.map(|file| floats(&file)) }
    }

    /// After the first step of an epoch: notes the directions if that is still to be done. `read`
    /// gives the network's tensors.
    ///
    /// # Errors
    /// A lost device, or a file that cannot be written.
    pub fn after_first_step(
        &mut self,
        model: &ResNet,
        step: u32,
        read: impl FnOnce() -> Result<Vec<Named>>,
    ) -> Result<()> {
        if self.first.is_some() {
            return Ok(());
        }
        let layers = affines(model, &read()?);
        if layers.iter().any(|l| norm(&l.gamma) == 0.0 || norm(&l.beta) == 0.0) {
            return Ok(());
        }
        let mut file = Checkpoint::default();
        for l in layers {
            for (part, data) in [("weight", l.gamma), ("bias", l.beta)] {
                let name = format!("{}.{part}", l.layer);
                file.push(name, &[data.len()], TensorData::F32(data));
            }
        }
        file.meta.insert("step".into(), step.to_string());
        file.save(&self.path)?;
        self.first = Some(floats(&file));
        Ok(())
    }

    /// The network's state, from its tensors and gradients.
    pub fn inside(&self, model: &ResNet, tensors: &[Named], gradients: &[Named]) -> Inside {
        Inside {
            alpha: alpha(tensors),
            norms: layers(&affines(model, tensors), self.first.as_deref().unwrap_or_default()),
            gradients: gradients.iter().map(|(name, _, g)| (name.clone(), norm(g))).collect(),
        }
    }
}

/// Layers' spreads, and their angles to the `first` directions.
pub fn layers(affines: &[AffineOf], first: &[Named]) -> Vec<LayerInside> {
    let turned = |name: String, now: &[f32]| {
        let (.., then) = first.iter().find(|(n, ..)| *n == name)?;
        angle(then, now)
    };
    affines
        .iter()
        .map(|l| LayerInside {
            layer: l.layer.clone(),
            normalized: l.normalized,
            w: Spread::of(&l.w),
            b: Spread::of(&l.b),
            gamma_angle: turned(format!("{}.weight", l.layer), &l.gamma),
            beta_angle: turned(format!("{}.bias", l.layer), &l.beta),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{self, Builder, Experts, NormKind, NormLayers, Norms, Spec};

    #[test]
    fn spreads_by_hand() {
        let s = Spread::of(&[1.0, -3.0]);
        assert_eq!((s.mean, s.max, s.cv, s.max_over_mean()), (2.0, 3.0, 0.5, Some(1.5)));
        let zero = Spread::of(&[0.0; 4]);
        assert_eq!((zero.cv, zero.max_over_mean()), (0.0, None));
    }

    #[test]
    fn angles_by_hand() {
        let near = |found: Option<f64>, want: f64| (found.unwrap() - want).abs() < 1e-9;
        assert!(near(angle(&[1.0, 0.0], &[0.0, 2.0]), 90.0));
        assert!(near(angle(&[1.0, 1.0], &[3.0, 3.0]), 0.0));
        assert!(near(angle(&[1.0, 0.0], &[-1.0, 0.0]), 180.0));
        // An arc cosine of 1 − 5e-13 in floats would already be off by a tenth.
        assert!(near(angle(&[1.0, 0.0], &[1.0, 1e-6]), 1e-6f64.to_degrees()));
        assert_eq!(angle(&[0.0], &[1.0]), None);
    }

    #[test]
    fn normalized_layers_have_unit_vectors_times_alpha() {
        let norms = Norms::new(NormKind::Nbn, NormLayers::LastStage, nn::BiasStart::Zero);
        let spec = Spec {
            model: "small",
            classes: 2,
            head: nn::Head::Linear,
            experts: Experts::ONE,
            norms,
            projected: nn::Projected::NONE,
        };
        let model = ResNet::new(&mut Builder::default(), &spec).unwrap();
        let tensors: Vec<Named> = model
            .norms()
            .flat_map(|bn| {
                let name = |part: &str| format!("{}.{part}", bn.name);
                [
                    (name("weight"), vec![2], vec![3.0, -4.0]),
                    (name("bias"), vec![2], vec![0.0, 0.0]),
                ]
            })
            .chain([(SCALE_FACTOR.to_string(), vec![1], vec![10.0])])
            .collect();
        let found = affines(&model, &tensors);
        assert_eq!(found.len(), 7);
        let (plain, last) = (&found[0], found.last().unwrap());
        assert!(!plain.normalized && last.normalized, "{plain:?} {last:?}");
        assert_eq!(plain.w, [3.0, -4.0]);
        assert!((last.w[0] - 6.0).abs() < 1e-5 && (last.w[1] + 8.0).abs() < 1e-5, "{:?}", last.w);
        assert_eq!(last.b, [0.0, 0.0]);
        let first = vec![("layer3.0.bn2.weight".to_string(), vec![2], vec![4.0, 3.0])];
        let inside = layers(&found, &first);
        assert!((inside[6].gamma_angle.unwrap() - 90.0).abs() < 1e-9, "{inside:?}");
        assert_eq!((inside[6].beta_angle, inside[0].gamma_angle), (None, None));
    }
}
