//! Each step's share and shift of a mixed batch (mixup, CutMix, CMO): functions of (seed, step) alone, so
//! a resumed run mixes as the unbroken one would have.

use super::config::{InputCfg, MixKind};
use crate::error::{Error, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Beta, Distribution};

/// Keeps these draws apart from others of the same seed.
const PURPOSE: u64 = 0x6D69_7865;

/// How batches are mixed.
#[derive(Clone, Debug)]
pub struct Mixing {
    /// What is done with two images.
    pub kind: MixKind,
    beta: Option<Beta<f64>>,
    probability: f64,
    seed: u64,
    /// Epochs in which CMO mixes: not the first three, nor the last three.
    epochs: std::ops::Range<usize>,
}

impl Mixing {
    /// As the recipe says, for a run of `epochs`.
    ///
    /// # Errors
    /// A Beta distribution without a shape.
    pub fn new(input: &InputCfg, seed: u64, epochs: usize) -> Result<Self> {
        let beta = (input.mix != MixKind::None)
            .then(|| Beta::new(input.mix_alpha, input.mix_alpha))
            .transpose()
            .map_err(|e| Error::usage(format!("mix_alpha {}: {e}", input.mix_alpha)))?;
        let span = match input.mix {
            MixKind::Cmo if epochs > 6 => 3..epochs - 3,
            _ => 0..epochs,
        };
        Ok(Mixing { kind: input.mix, beta, probability: input.mix_prob, seed, epochs: span })
    }

    /// λ and the shift to the partner, for a batch of `n`; λ = 1 leaves the batch as it is.
    pub fn draw(&self, epoch: usize, step: u32, n: usize) -> (f32, u32) {
        let Some(beta) = self.beta.filter(|_| self.epochs.contains(&epoch)) else {
            return (1.0, 0);
        };
        let mut rng = StdRng::seed_from_u64(self.seed ^ PURPOSE ^ (u64::from(step) << 32));
        if rng.random::<f64>() >= self.probability {
            return (1.0, 0);
        }
        // CMO's partners come from another draw already.
        let shift = match self.kind {
            MixKind::Cmo => 0,
            _ if n < 2 => 0,
            _ => rng.random_range(1..n as u32),
        };
        (beta.sample(&mut rng) as f32, shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixing(input: &InputCfg) -> Mixing {
        Mixing::new(input, 7, 200).expect("a mixing")
    }

    #[test]
    fn shares_follow_beta_and_depend_on_the_step_alone() {
        let input = InputCfg { mix: MixKind::Mixup, mix_alpha: 0.2, ..InputCfg::default() };
        let m = mixing(&input);
        assert_eq!(m.draw(0, 3, 16), m.draw(9, 3, 16));
        assert_ne!(m.draw(0, 3, 16), m.draw(0, 4, 16));
        let shares: Vec<f64> = (0..20_000).map(|s| f64::from(m.draw(0, s, 16).0)).collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        let variance = shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / shares.len() as f64;
        // Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1))
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!((variance - 1.0 / (4.0 * 1.4)).abs() < 0.005, "{variance}");
    }

    #[test]
    fn partners_are_others_and_some_batches_are_left_alone() {
        let input = InputCfg { mix: MixKind::CutMix, mix_prob: 0.5, ..InputCfg::default() };
        let m = mixing(&input);
        let draws: Vec<_> = (0..4000).map(|s| m.draw(0, s, 8)).collect();
        let mixed = draws.iter().filter(|d| d.1 != 0).count();
        assert!((1850..2150).contains(&mixed), "{mixed}");
        assert!(draws.iter().all(|d| d.1 < 8 && (d.1 != 0 || d.0 == 1.0)));
        assert_eq!(m.draw(0, 1, 1).1, 0);
        let none = mixing(&InputCfg::default());
        assert_eq!(none.draw(0, 1, 8), (1.0, 0));
    }

    #[test]
    fn cmo_spares_the_first_and_last_epochs() {
        let input = InputCfg { mix: MixKind::Cmo, ..InputCfg::default() };
        let m = mixing(&input);
        assert_eq!(m.draw(2, 1, 8).0, 1.0);
        assert!(m.draw(3, 1, 8).0 < 1.0 && m.draw(196, 1, 8).0 < 1.0);
        assert_eq!(m.draw(197, 1, 8).0, 1.0);
    }
}
