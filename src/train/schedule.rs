//! The learning rate over the epochs: (schedule, base rate, epoch) → rate of that epoch.
//!
//! Epochs count from 0 and the rate is constant within one. The reference's line for CIFAR is
//! `warmup-steps`: lr·(e+1)/5 in the first 5 of 200 epochs, ×0.01 from epoch 160, ×0.0001 from
//! 180, both on the base rate; runs of another length keep the milestones' shares, 80 % and 90 %.
//!
//! Normalized batch norm's own code warms up with lr·e/5 instead (epoch 0 has rate 0), and drops
//! to ×0.01 after epoch 160 and ×0.001 after 180. For exactly that:
//! `warmup_from_zero = true`, `milestones = [161, 181]`, `factors = [0.01, 0.001]`.

use std::f64::consts::PI;

use crate::error::{Error, Result};
use crate::train::config::{ScheduleCfg, ScheduleKind};

/// Factors of the default milestones.
const FACTORS: [f64; 2] = [0.01, 0.0001];

/// The learning rate of `epoch` (from 0) in a run of `epochs`.
///
/// During `w` warm-up epochs it is lr·(e+1)/w (or lr·e/w), whatever the schedule. After them:
/// constant, lr; warmup-steps, lr times the factor of the last milestone reached; cosine,
/// lr/2·(1 + cos(π·(e−w)/(T−w))), which without warm-up is lr/2·(1 + cos(π·e/T)).
pub fn lr(cfg: &ScheduleCfg, base_lr: f64, epoch: usize, epochs: usize) -> f64 {
    let warmup = cfg.warmup(epochs);
    if epoch < warmup {
        let done = if cfg.warmup_from_zero { epoch } else { epoch + 1 };
        return base_lr * done as f64 / warmup as f64;
    }
    match cfg.schedule {
        ScheduleKind::Constant => base_lr,
        ScheduleKind::WarmupSteps => base_lr * cfg.factor(epoch, epochs),
        ScheduleKind::Cosine => {
            let share = (epoch - warmup) as f64 / epochs.saturating_sub(warmup).max(1) as f64;
            base_lr * 0.5 * (1.0 + (PI * share).cos())
        }
    }
}

impl ScheduleCfg {
    /// The number of warm-up epochs: as set; else 5 for warmup-steps, in short runs a tenth.
    pub fn warmup(&self, epochs: usize) -> usize {
        match (self.warmup_epochs, self.schedule) {
            (Some(given), _) => given,
            (None, ScheduleKind::WarmupSteps) => (epochs / 10).min(5),
            (None, _) => 0,
        }
    }

    /// The milestones with their factors: as set, else ×0.01 at 80 % and ×0.0001 at 90 %.
    pub fn steps(&self, epochs: usize) -> Vec<(usize, f64)> {
        let shares = [(epochs * 8).div_ceil(10), (epochs * 9).div_ceil(10)];
        let milestones = self.milestones.as_deref().unwrap_or(&shares);
        let factors = self.factors.as_deref().unwrap_or(&FACTORS);
        milestones.iter().copied().zip(factors.iter().copied()).collect()
    }

    fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        let reached =
            self.steps(epochs).into_iter().rev().find(|(milestone, _)| epoch >= *milestone);
        reached.map_or(1.0, |(_, factor)| factor)
    }

    /// Checks the schedule against the length of the run.
    ///
    /// # Errors
    /// A warm-up longer than the run; milestones that do not rise, do not pair with the factors,
    /// or belong to another schedule.
    pub fn validate(&self, epochs: usize) -> Result<()> {
        let wrong = |text: String| Err(Error::Usage(text));
        let warmup = self.warmup(epochs);
        if warmup > epochs {
            return wrong(format!(
                "warmup_epochs is {warmup}, but the run has {epochs} epochs: the rate would never reach lr; \
                 give at most --warmup-epochs {epochs}"
            ));
        }
        let given = self.milestones.is_some() || self.factors.is_some();
        if given && self.schedule != ScheduleKind::WarmupSteps {
            return wrong(format!(
                "milestones and factors belong to schedule warmup-steps, but schedule is {}",
                self.schedule.name()
            ));
        }
        let milestones = self.milestones.as_ref().map_or(FACTORS.len(), Vec::len);
        let factors = self.factors.as_ref().map_or(FACTORS.len(), Vec::len);
        if milestones != factors {
            return wrong(format!("{milestones} milestones need as many factors, not {factors}"));
        }
        match &self.milestones {
            Some(list) if !list.is_sorted_by(|a, b| a < b) => {
                wrong(format!("milestones must rise, unlike {list:?}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cfg(schedule: ScheduleKind) -> ScheduleCfg {
        ScheduleCfg { schedule, ..ScheduleCfg::default() }
    }

    #[track_caller]
    fn assert_lr(cfg: &ScheduleCfg, epochs: usize, expected: &[(usize, f64)]) {
        for &(epoch, rate) in expected {
            let found = lr(cfg, 0.1, epoch, epochs);
            assert!((found - rate).abs() < 1e-15, "epoch {epoch}: {found}, expected {rate}");
        }
    }

    #[test]
    fn warmup_steps_is_the_reference_line() {
        let expected = [
            (0, 0.02),
            (1, 0.04),
            (4, 0.1),
            (5, 0.1),
            (159, 0.1),
            (160, 0.001),
            (179, 0.001),
            (180, 0.00001),
            (199, 0.00001),
        ];
        assert_lr(&cfg(ScheduleKind::WarmupSteps), 200, &expected);
    }

    #[test]
    fn milestones_keep_their_share_in_shorter_runs() {
        let steps = cfg(ScheduleKind::WarmupSteps);
        assert_lr(&steps, 10, &[(0, 0.1), (7, 0.1), (8, 0.001), (9, 0.00001)]);
        assert_lr(&steps, 1, &[(0, 0.1)]);
        assert_eq!(steps.steps(50), [(40, 0.01), (45, 0.0001)]);
        assert_eq!((steps.warmup(200), steps.warmup(30), steps.warmup(9)), (5, 3, 0));
    }

    #[test]
    fn reference_code_of_nbn() {
        let quirk = ScheduleCfg {
            warmup_from_zero: true,
            milestones: Some(vec![161, 181]),
            factors: Some(vec![0.01, 0.001]),
            ..cfg(ScheduleKind::WarmupSteps)
        };
        let expected =
            [(0, 0.0), (1, 0.02), (4, 0.08), (5, 0.1), (160, 0.1), (161, 0.001), (181, 0.0001)];
        assert_lr(&quirk, 200, &expected);
    }

    #[test]
    fn cosine_and_constant() {
        assert_lr(&cfg(ScheduleKind::Constant), 7, &[(0, 0.1), (6, 0.1)]);
        let cosine = cfg(ScheduleKind::Cosine);
        assert_lr(&cosine, 90, &[(0, 0.1), (30, 0.075), (45, 0.05), (60, 0.025)]);
        assert!(lr(&cosine, 0.1, 89, 90) > 0.0);
        let warm = ScheduleCfg { warmup_epochs: Some(2), ..cosine };
        assert_lr(&warm, 10, &[(0, 0.05), (1, 0.1), (2, 0.1), (6, 0.05)]);
        assert_lr(&ScheduleCfg { warmup_epochs: Some(3), ..warm }, 3, &[(2, 0.1)]);
    }

    #[test]
    fn contradictions_are_named() {
        let steps = cfg(ScheduleKind::WarmupSteps);
        let cases = [
            (ScheduleCfg { warmup_epochs: Some(9), ..steps.clone() }, "never reach"),
            (ScheduleCfg { milestones: Some(vec![5, 5]), ..steps.clone() }, "must rise"),
            (ScheduleCfg { milestones: Some(vec![5]), ..steps.clone() }, "1 milestones"),
            (ScheduleCfg { factors: Some(vec![0.1, 0.1]), ..cfg(ScheduleKind::Cosine) }, "belong"),
        ];
        for (cfg, part) in cases {
            let error = cfg.validate(8).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        assert!(steps.validate(8).is_ok());
    }
}
