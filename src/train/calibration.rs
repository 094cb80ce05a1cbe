//! Probabilities that mean what they say: temperature scaling (Guo et al., 2017).
//!
//! Logits and labels of images that were not trained on → [`Logits`] → the temperature T that makes
//! softmax(z / T) most likely → [`Calibration`], kept in the checkpoint →
//! [`probabilities`] of `predict`. [`Quality`] says how far probabilities are from the truth, before
//! and after. One number for all classes: it changes no prediction, only how sure it is.
//!
//! NLL(T) = −mean log softmax(z / T)_y. In β = 1/T it is convex, and its slope
//! mean(Σ_c p_c z_c − z_y) rises, so its only root is found by Newton's method within a bracket.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Bins of the expected calibration error.
pub const BINS: usize = 15;
/// Fewest images that a temperature is fitted on.
pub const FEWEST: usize = 30;
/// Temperatures that are believed; a best one outside says that there is nothing to fit.
const BELIEVED: (f64, f64) = (0.05, 20.0);
/// The checkpoint's metadata entry.
pub const META: &str = "calibration";

/// How well probabilities agree with what is true.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean negative log-likelihood of the true class, in nats.
    pub nll: f64,
    /// Expected calibration error, 0 to 1: Σ_b n_b/n·|accuracy_b − mean confidence_b| over [`BINS`]
    /// bins of equal width of the highest probability, each with its upper end.
    pub ece: f64,
}

/// Which images a temperature was fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FittedOn {
    /// A part of the training images, kept back from training (`holdout`).
    HeldOut,
    /// A validation folder of its own.
    Validation,
    /// The test images, so what is measured on them afterwards is better than elsewhere.
    Test,
}

impl FittedOn {
    /// `held-out training images` and so on.
    pub fn describe(self) -> &'static str {
        match self {
            Self::HeldOut => "held-out training images",
            Self::Validation => "images of the validation folder",
            Self::Test => "test images (none were held out)",
        }
    }
}

/// A fitted temperature, as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// T of softmax(z / T).
    pub temperature: f64,
    /// Where the images came from.
    pub fitted_on: FittedOn,
    /// How many there were.
    pub images: usize,
    /// On these images at T = 1.
    pub before: Quality,
    /// On these images at T.
    pub after: Quality,
}

impl Calibration {
    /// Fits a temperature; `Err` of the inner result says why there is none.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn fit(
        logits: &Logits<'_>,
        fitted_on: FittedOn,
    ) -> Result<std::result::Result<Self, String>> {
        let images = logits.labels.len();
        if images < FEWEST {
            return Ok(Err(format!(
                "only {images} {}; a temperature is fitted on at least {FEWEST}",
                fitted_on.describe()
            )));
        }
        let before = logits.quality(1.0)?;
        let temperature = match logits.temperature() {
            Ok(t) => t,
            Err(why) => return Ok(Err(format!("{images} {}: {why}", fitted_on.describe()))),
        };
        let after = logits.quality(temperature)?;
        Ok(Ok(Calibration { temperature, fitted_on, images, before, after }))
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!(
            "temperature {:.3}, fitted on {} {}: NLL {:.3} → {:.3}, ECE {:.1} % → {:.1} %",
            self.temperature,
            self.images,
            self.fitted_on.describe(),
            self.before.nll,
            self.after.nll,
            100.0 * self.before.ece,
            100.0 * self.after.ece,
        )
    }
}

/// Logits [images, classes] with the true classes.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    values: &'a [f32],
    labels: &'a [u32],
    classes: usize,
}

impl<'a> Logits<'a> {
    /// Takes the rows of `values`, one for each label.
    ///
    /// # Errors
    /// No image; sizes that do not fit; a label out of range; a logit that is not finite.
    pub fn new(values: &'a [f32], labels: &'a [u32], classes: usize) -> Result<Self> {
        let wrong = |text: String| Err(Error::Failure(text));
        if labels.is_empty() || labels.len().checked_mul(classes) != Some(values.len()) {
            return wrong(format!(
                "{} logits for {} images and {classes} classes",
                values.len(),
                labels.len()
            ));
        }
        if let Some(label) = labels.iter().find(|l| **l as usize >= classes) {
            return wrong(format!("label {label}, but there are {classes} classes"));
        }
        match values.iter().position(|z| !z.is_finite()) {
            Some(at) => wrong(format!("the logits of image {} are not finite", at / classes)),
            None => Ok(Logits { values, labels, classes }),
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&'a [f32], usize)> {
        self.values.chunks_exact(self.classes).zip(self.labels).map(|(z, y)| (z, *y as usize))
    }

    /// The predicted class of each image: its largest logit, of equals the first.
    pub fn predicted(&self) -> impl Iterator<Item = usize> {
        self.values.chunks_exact(self.classes).map(largest)
    }

    /// How good the probabilities at a temperature are.
    ///
    /// # Errors
    /// A temperature that is not above 0.
    pub fn quality(&self, temperature: f64) -> Result<Quality> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(Error::Failure(format!("a temperature of {temperature}")));
        }
        let mut nll = 0.0;
        // (images, right ones, sum of confidences) of each bin.
        let mut bins = [(0u32, 0u32, 0.0); BINS];
        for (z, y) in self.rows() {
            let row = Row::new(z, 1.0 / temperature);
            nll += row.log_sum - row.scaled(z[y]);
            let predicted = largest(z);
            let confidence = (row.scaled(z[predicted]) - row.log_sum).exp();
            let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            bins[bin].0 += 1;
            bins[bin].1 += u32::from(predicted == y);
            bins[bin].2 += confidence;
        }
        let n = self.labels.len() as f64;
        let gap = |(_, right, sum): &(u32, u32, f64)| (f64::from(*right) - sum).abs();
        Ok(Quality { nll: nll / n, ece: bins.iter().map(gap).sum::<f64>() / n })
    }

    /// The temperature of the smallest NLL, or why there is none to be believed.
    fn temperature(&self) -> std::result::Result<f64, String> {
        // (slope, curvature) of the mean NLL in β.
        let at = |beta: f64| {
            let (mut slope, mut curvature) = (0.0, 0.0);
            for (z, y) in self.rows() {
                let (mean, variance) = Row::new(z, beta).moments(z);
                slope += mean - f64::from(z[y]);
                curvature += variance;
            }
            (slope, curvature)
        };
        let (mut low, mut high) = (1.0 / BELIEVED.1, 1.0 / BELIEVED.0);
        if at(low).0 >= 0.0 {
            return Err("the logits say too little of the true classes".into());
        }
        if at(high).0 <= 0.0 {
            return Err("all are classified right, or nearly so: nothing to fit on".into());
        }
        let mut beta = 1.0;
        for _ in 0..200 {
            let (slope, curvature) = at(beta);
            if slope < 0.0 {
                low = beta
            } else {
                high = beta
            }
            let newton = beta - slope / curvature;
            // Outside the bracket (or no number): its geometric middle.
            let next = if newton > low && newton < high { newton } else { (low * high).sqrt() };
            let moved = (next - beta).abs();
            beta = next;
            if moved <= 1e-14 * beta {
                break;
            }
        }
        Ok(1.0 / beta)
    }
}

/// A row of logits times β, with what keeps exponentials in range.
struct Row {
    beta: f64,
    most: f64,
    /// log Σ exp(β(z − max z))
    log_sum: f64,
}

impl Row {
    fn new(z: &[f32], beta: f64) -> Self {
        let most = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut row = Row { beta, most: f64::from(most), log_sum: 0.0 };
        row.log_sum = z.iter().map(|v| row.scaled(*v).exp()).sum::<f64>().ln();
        row
    }

    /// β(z − max z)
    fn scaled(&self, z: f32) -> f64 {
        self.beta * (f64::from(z) - self.most)
    }

    /// Mean and variance of z under the row's probabilities.
    fn moments(&self, z: &[f32]) -> (f64, f64) {
        let weighted = |value: &dyn Fn(f64) -> f64| -> f64 {
            z.iter().map(|v| (self.scaled(*v) - self.log_sum).exp() * value(f64::from(*v))).sum()
        };
        let mean = weighted(&|v| v);
        (mean, weighted(&|v| (v - mean) * (v - mean)))
    }
}

fn largest(z: &[f32]) -> usize {
    let better = |best: usize, i: usize| if z[i] > z[best] { i } else { best };
    (0..z.len()).fold(0, better)
}

/// softmax(z / T) of a row.
pub fn probabilities(z: &[f32], temperature: f64) -> Vec<f64> {
    let row = Row::new(z, 1.0 / temperature);
    z.iter().map(|v| (row.scaled(*v) - row.log_sum).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found}, not {expected}");
    }

    /// Logits whose two probabilities at T = 1 are `p` and 1 − p.
    fn two(p: f64) -> [f32; 2] {
        [p.ln() as f32, (1.0 - p).ln() as f32]
    }

    #[test]
    fn quality_by_hand() {
        // Confidence 0.9 three times, right twice; 0.6 twice, right once; bins of a fifteenth.
        let values: Vec<f32> = [0.9, 0.9, 0.9, 0.6, 0.6].into_iter().flat_map(two).collect();
        let quality = Logits::new(&values, &[0, 0, 1, 0, 1], 2).unwrap().quality(1.0).unwrap();
        let nll = -(2.0 * 0.9f64.ln() + 0.1f64.ln() + 0.6f64.ln() + 0.4f64.ln()) / 5.0;
        close(quality.nll, nll, 1e-7);
        // (3·|2/3 − 0.9| + 2·|1/2 − 0.6|) / 5 = (0.7 + 0.2) / 5
        close(quality.ece, 0.18, 1e-7);
    }

    #[test]
    fn opposite_gaps_in_one_bin_cancel_and_in_two_do_not() {
        // 0.84 and 0.86 lie in the bin (12/15, 13/15]: one right, one wrong, mean 0.85.
        let same: Vec<f32> = [0.84, 0.86].into_iter().flat_map(two).collect();
        let quality = Logits::new(&same, &[0, 1], 2).unwrap().quality(1.0).unwrap();
        close(quality.ece, 0.35, 1e-7);
        let apart: Vec<f32> = [0.79, 0.86].into_iter().flat_map(two).collect();
        let quality = Logits::new(&apart, &[0, 1], 2).unwrap().quality(1.0).unwrap();
        close(quality.ece, (0.21 + 0.86) / 2.0, 1e-7);
    }

    /// Made logits that NumPy makes too.
    fn made() -> (Vec<f32>, Vec<u32>) {
        let z: Vec<f32> = (0..200u32)
            .flat_map(|i| {
                (0..5u32).map(move |c| ((i * 37 + c * 101 + i * c * 13) % 97) as f32 / 16.0 - 3.0)
            })
            .collect();
        let shifted =
            |(i, row): (usize, &[f32])| (largest(row) + if i % 3 == 0 { i % 4 } else { 0 }) % 5;
        let y = z.chunks(5).enumerate().map(|r| shifted(r) as u32).collect();
        (z, y)
    }

    #[test]
    fn numpy_finds_the_same() {
        // NumPy 2, float64: z = (i*37 + c*101 + i*c*13) % 97 / 16 - 3 for i < 200, c < 5;
        // y = (z.argmax(1) + where(i % 3 == 0, i % 4, 0)) % 5; p = exp(z/T - max)/sum;
        // nll = -log(p[i, y]).mean(); ece over linspace(0, 1, 16), lo < p.max(1) <= hi;
        // T by bisection of the slope of the NLL in 1/T.
        let (z, y) = made();
        let logits = Logits::new(&z, &y, 5).unwrap();
        let found = Calibration::fit(&logits, FittedOn::HeldOut).unwrap().unwrap();
        close(found.temperature, 1.2103843902619398, 1e-12);
        close(found.before.nll, 1.1339091777696035, 1e-12);
        close(found.before.ece, 0.19384029711233294, 1e-12);
        close(found.after.nll, 1.1223468964138876, 1e-12);
        close(found.after.ece, 0.23243878843100044, 1e-12);
        assert_eq!(found.images, 200);
        let right = logits.predicted().zip(&y).filter(|(p, y)| *p == **y as usize).count();
        assert_eq!(right, 150);
    }

    #[test]
    fn a_planted_temperature_is_found() {
        // Labels drawn in proportion to softmax(z): each row's class c gets 40,000·p_c images.
        let rows = [[2.0f32, 0.5, -1.0], [0.0, 1.0, 0.3], [-0.5, -0.2, 1.5]];
        for planted in [0.3f64, 1.0, 2.5, 7.0] {
            let (mut values, mut labels) = (Vec::new(), Vec::new());
            for row in rows {
                for (c, p) in probabilities(&row, 1.0).into_iter().enumerate() {
                    for _ in 0..(40_000.0 * p).round() as usize {
                        values.extend(row.map(|z| (f64::from(z) * planted) as f32));
                        labels.push(c as u32);
                    }
                }
            }
            let logits = Logits::new(&values, &labels, 3).unwrap();
            let found = Calibration::fit(&logits, FittedOn::Test).unwrap().unwrap();
            close(found.temperature / planted, 1.0, 1e-4);
            assert!(found.after.nll <= found.before.nll);
            // The smallest: a little to either side is worse.
            for factor in [0.99, 1.01] {
                let beside = logits.quality(found.temperature * factor).unwrap();
                assert!(beside.nll > found.after.nll);
            }
        }
    }

    #[test]
    fn where_there_is_nothing_to_fit_it_says_so() {
        let fit = |values: &[f32], labels: &[u32]| {
            let logits = Logits::new(values, labels, 2).unwrap();
            Calibration::fit(&logits, FittedOn::Test).unwrap()
        };
        let right: Vec<f32> = (0..40).flat_map(|_| [3.0, 0.0]).collect();
        assert!(fit(&right, &[0; 40]).unwrap_err().contains("classified right"));
        assert!(fit(&right, &[1; 40]).unwrap_err().contains("too little"));
        assert!(fit(&[0.0; 80], &[1; 40]).unwrap_err().contains("too little"));
        assert!(fit(&right[..58], &[0; 29]).unwrap_err().contains("only 29"));
    }

    #[test]
    fn far_logits_do_not_overflow() {
        let values: Vec<f32> =
            (0..40).flat_map(|i| [1e30, if i < 4 { 2e30 } else { 0.0 }]).collect();
        let logits = Logits::new(&values, &[0; 40], 2).unwrap();
        let quality = logits.quality(1.0).unwrap();
        assert!(quality.nll.is_finite() && (quality.ece - 0.1).abs() < 1e-12, "{quality:?}");
        assert!(Calibration::fit(&logits, FittedOn::Test).unwrap().is_err());
        let p = probabilities(&[1e30, -1e30, 1e30], 2.0);
        assert_eq!(p, [0.5, 0.0, 0.5]);
    }

    #[test]
    fn bad_input_is_refused() {
        let refused = |values: &[f32], labels: &[u32], word: &str| {
            let text = Logits::new(values, labels, 2).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        };
        refused(&[], &[], "0 images");
        refused(&[1.0; 3], &[0], "3 logits");
        refused(&[1.0; 2], &[2], "label 2");
        refused(&[1.0, 0.0, f32::NAN, 0.0], &[0, 0], "image 1 are not finite");
        let fine = [1.0f32, 0.0];
        for t in [0.0, -1.0, f64::NAN] {
            assert!(Logits::new(&fine, &[0], 2).unwrap().quality(t).is_err());
        }
    }
}
