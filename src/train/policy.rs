//! Augmentation policies by name: AutoAugment's for CIFAR-10 (Cubuk et al., CVPR 2019), RandAugment (Cubuk
//! et al., NeurIPS 2020), a rotation, colour jitter. Amounts are those of torchvision.

use super::config::{InputCfg, PolicyKind};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::{Entry, Operation, Policy};
use Operation::{
    AutoContrast, Brightness, Color, Contrast, Equalize, Identity, Invert, Posterize, Rotate,
    Sharpness, ShearX, ShearY, Solarize, TranslateX, TranslateY,
};
use std::rc::Rc;

/// Two operations with probability and magnitude (0 to 9) each: AutoAugment's 25 rows for CIFAR-10.
const CIFAR10: [[(Operation, f32, u32); 2]; 25] = [
    [(Invert, 0.1, 0), (Contrast, 0.2, 6)],
    [(Rotate, 0.7, 2), (TranslateX, 0.3, 9)],
    [(Sharpness, 0.8, 1), (Sharpness, 0.9, 3)],
    [(ShearY, 0.5, 8), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.5, 0), (Equalize, 0.9, 0)],
    [(ShearY, 0.2, 7), (Posterize, 0.3, 7)],
    [(Color, 0.4, 3), (Brightness, 0.6, 7)],
    [(Sharpness, 0.3, 9), (Brightness, 0.7, 9)],
    [(Equalize, 0.6, 0), (Equalize, 0.5, 0)],
    [(Contrast, 0.6, 7), (Sharpness, 0.6, 5)],
    [(Color, 0.7, 7), (TranslateX, 0.5, 8)],
    [(Equalize, 0.3, 0), (AutoContrast, 0.4, 0)],
    [(TranslateY, 0.4, 3), (Sharpness, 0.2, 6)],
    [(Brightness, 0.9, 6), (Color, 0.2, 8)],
    [(Solarize, 0.5, 2), (Invert, 0.0, 0)],
    [(Equalize, 0.2, 0), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.2, 0), (Equalize, 0.6, 0)],
    [(Color, 0.9, 9), (Equalize, 0.6, 0)],
    [(AutoContrast, 0.8, 0), (Solarize, 0.2, 8)],
    [(Brightness, 0.1, 3), (Color, 0.7, 0)],
    [(Solarize, 0.4, 5), (AutoContrast, 0.9, 0)],
    [(TranslateY, 0.9, 9), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.9, 0), (Solarize, 0.8, 3)],
    [(Equalize, 0.8, 0), (Invert, 0.1, 0)],
    [(TranslateY, 0.7, 9), (AutoContrast, 0.9, 0)],
];

/// RandAugment's operations.
const RANDOM: [Operation; 14] = [
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

/// An operation at `share` (0 to 1) of its strongest amount, for images of h × w.
fn entry(operation: Operation, probability: f32, share: f32, [h, w]: [usize; 2]) -> Entry {
    let shift = 150.0 / 331.0;
    let (amount, signed) = match operation {
        ShearX | ShearY => (0.3 * share, true),
        TranslateX => (shift * w as f32 * share, true),
        TranslateY => (shift * h as f32 * share, true),
        Rotate => (30.0 * share, true),
        Brightness | Color | Contrast | Sharpness => (0.9 * share, true),
        Posterize => (8.0 - (4.0 * share).round_ties_even(), false),
        Solarize => (255.0 * (1.0 - share), false),
        Identity | AutoContrast | Equalize | Invert => (0.0, false),
    };
    Entry { operation, probability, low: amount, high: amount, signed }
}

/// The rows of the recipe's policy for images of h × w, and whether each pass draws its own; none without
/// a policy.
pub fn rows(input: &InputCfg, size: [usize; 2]) -> Option<(Vec<Vec<Entry>>, bool)> {
    let even = |operation, most: f32| Entry {
        operation,
        probability: 1.0,
        low: -most,
        high: most,
        signed: false,
    };
    let magnitude = |usual: f64| input.policy_magnitude.unwrap_or(usual) as f32;
    match input.policy {
        PolicyKind::None => None,
        PolicyKind::AutoAugment => {
            let row = |row: &[(Operation, f32, u32); 2]| {
                row.iter().map(|(o, p, m)| entry(*o, *p, *m as f32 / 9.0, size)).collect()
            };
            Some((CIFAR10.iter().map(row).collect(), false))
        }
        PolicyKind::RandAugment => {
            let share = magnitude(9.0) / 30.0;
            let row = |o: &Operation| vec![entry(*o, 1.0, share, size); input.policy_ops];
            Some((RANDOM.iter().map(row).collect(), true))
        }
        PolicyKind::Rotation => Some((vec![vec![even(Rotate, magnitude(15.0))]], false)),
        PolicyKind::Jitter => {
            let most = magnitude(0.4);
            let row = [Brightness, Contrast, Color].map(|o| even(o, most));
            Some((vec![row.to_vec()], false))
        }
    }
}

/// The recipe's policy on a device.
///
/// # Errors
/// No memory.
pub fn policy(gpu: &Rc<Gpu>, input: &InputCfg, size: [usize; 2]) -> Result<Option<Policy>> {
    rows(input, size).map(|(rows, independent)| Policy::new(gpu, &rows, independent)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_torchvisions() {
        let at = |o, m: f32| entry(o, 1.0, m / 9.0, [32, 32]).low;
        assert!((at(TranslateX, 9.0) - 14.501511).abs() < 1e-4);
        assert!((at(Rotate, 2.0) - 6.6666665).abs() < 1e-5);
        // 8 − round(m / 2.25), ties to even
        let bits: Vec<f32> = (0..10).map(|m| at(Posterize, m as f32)).collect();
        assert_eq!(bits, [8.0, 8.0, 7.0, 7.0, 6.0, 6.0, 5.0, 5.0, 4.0, 4.0]);
        assert!((at(Solarize, 2.0) - 198.33333).abs() < 1e-3);
        let random = InputCfg { policy: PolicyKind::RandAugment, ..InputCfg::default() };
        let (rows, independent) = rows(&random, [32, 32]).expect("a policy");
        assert!(rows.len() == 14 && independent && rows.iter().all(|r| r.len() == 2));
        assert!((rows[5][0].low - 9.0).abs() < 1e-5, "rotation of magnitude 9 is 9 degrees");
    }
}
