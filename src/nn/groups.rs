//! Experts for groups of classes (ACE, Cai et al., ICCV 2021): the first answers for all classes, each later one for
//! fewer and rarer ones, and a class's logit is the mean of those of the experts that answer for it.
//!
//! Of the paper this is certain: experts on all, on medium and few, on few classes; logits averaged after
//! re-scaling. Recalled, not read again: the factor ‖W_1‖²/‖W_e‖² of an expert's logits. Ours: the groups are shares of
//! the classes by rank, not by count, since some sets have no class of few images.

use crate::error::{Error, Result};
use crate::ops;
use crate::tensor::Tensor;

/// For each of `experts` whether it answers for each class, 1 or 0: expert e (from 0) does for all but the
/// ⌊C·e/experts⌋ classes with the most images; of equal counts the earlier class counts as larger.
///
/// # Errors
/// Fewer classes than experts.
pub fn targets(counts: &[usize], experts: usize) -> Result<Vec<Vec<f32>>> {
    let classes = counts.len();
    if classes < experts {
        return Err(Error::usage(format!("{experts} experts cannot share out {classes} classes")));
    }
    let mut ranked: Vec<usize> = (0..classes).collect();
    ranked.sort_by_key(|c| (std::cmp::Reverse(counts[*c]), *c));
    let of = |e: usize| {
        let mut mask = vec![1.0; classes];
        ranked[..classes * e / experts].iter().for_each(|c| mask[*c] = 0.0);
        mask
    };
    Ok((0..experts).map(of).collect())
}

/// Σ_e ρ_e m_e z_e / Σ_e m_e [N, C], ρ_e = ‖W_1‖²/‖W_e‖² held fixed; logits [N, C], classifiers' weights [C, F].
///
/// # Errors
/// Shapes that do not fit.
pub fn combine(each: &[Tensor], weights: &[&Tensor], targets: &[Vec<f32>]) -> Result<Tensor> {
    let mul = |a: &Tensor, b: &Tensor| ops::binary("mul", a, b);
    let square = |w: &Tensor| -> Result<Tensor> {
        let sum = ops::sum(&ops::unary("square", &ops::detach(w))?, &[], false)?;
        ops::reshape(&sum, [1, 1])
    };
    let Some(first) = weights.first().map(|w| square(w)).transpose()? else {
        return Err(Error::Shape { op: "groups", message: "no experts".into() });
    };
    let classes = targets[0].len();
    let asked = |c: usize| targets.iter().map(|mask| mask[c]).sum::<f32>();
    let mut parts = Vec::new();
    for ((z, w), mask) in each.iter().zip(weights).zip(targets) {
        let share: Vec<f32> = (0..classes).map(|c| mask[c] / asked(c)).collect();
        let share = Tensor::new(z.gpu(), &share, [1, classes])?;
        let scale = ops::binary("div", &first, &square(w)?)?;
        parts.push(mul(z, &mul(&share, &scale)?)?);
    }
    ops::sum_of(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_experts_answer_for_fewer_and_rarer_classes() {
        let counts = [9, 500, 3, 130, 41, 3];
        let found = targets(&counts, 3).expect("groups");
        assert_eq!(found[0], [1.0; 6]);
        assert_eq!(found[1], [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
        assert_eq!(found[2], [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        assert!(targets(&[5, 2], 3).is_err());
    }
}
