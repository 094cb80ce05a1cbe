//! The long-tailed part of a training set: how many images each class keeps, and which.
//!
//! Labels of the source → [`counts`] per class → [`subset`], the kept indices class by class.
//! Counts and choice are those of the LDAM-DRW code that this line of work shares, index for
//! index: NumPy's legacy generator (MT19937) and its `shuffle`.

use super::DataSpec;
use crate::error::{Error, Result};
use rand_mt::Mt;
use serde::{Deserialize, Serialize};

/// How counts fall from the largest class to the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// By the same factor from each class to the next.
    #[default]
    Exp,
    /// The first half of the classes keeps all, the rest the smallest count.
    Step,
}

/// Which images of a class are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubsetRule {
    /// The first of the class after a shuffle by MT19937, as in the reference.
    #[default]
    Shuffled,
    /// The first of the class as stored.
    First,
}

// ANCHOR: counts
/// Images per class: with n the largest count, μ = 1/imbalance and C classes, class i has
/// floor(n·μ^(i/(C−1))) for [`Profile::Exp`]; for [`Profile::Step`] the first C/2 classes have n,
/// the others floor(n·μ).
pub fn counts(largest: usize, classes: usize, imbalance: f64, profile: Profile) -> Vec<usize> {
    let mu = 1.0 / imbalance;
    (0..classes)
        .map(|i| {
            let exponent = match profile {
                Profile::Exp if classes > 1 => i as f64 / (classes - 1) as f64,
                Profile::Step if i >= classes / 2 && classes > 1 => 1.0,
                _ => 0.0,
            };
            // 49·(1/49) is 1 less a rounding error, and its floor 0: such a product counts as the
            // whole number it stands for. No other value is that near to one.
            (largest as f64 * mu.powf(exponent) + 1e-9).floor() as usize
        })
        .collect()
}
// ANCHOR_END: counts

/// The kept indices, class by class: at most `keep[c]` of those whose target is c.
pub fn subset(targets: &[u32], keep: &[usize], rule: SubsetRule, seed: u32) -> Vec<u32> {
    let mut members = vec![Vec::new(); keep.len()];
    for (i, target) in targets.iter().enumerate() {
        if let Some(class) = members.get_mut(*target as usize) {
            class.push(i as u32);
        }
    }
    let mut mt = Mt::new(seed);
    let mut kept = Vec::new();
    for (class, n) in members.iter_mut().zip(keep) {
        if rule == SubsetRule::Shuffled {
            shuffle(class, &mut mt);
        }
        kept.extend(class.iter().take(*n));
    }
    kept
}

/// `numpy.random.shuffle` of a one-dimensional array.
fn shuffle(list: &mut [u32], mt: &mut Mt) {
    for i in (1..list.len()).rev() {
        list.swap(i, interval(i as u32, mt) as usize);
    }
}

/// NumPy's legacy `random_interval`: a number in 0..=max, drawn again while it is above.
fn interval(max: u32, mt: &mut Mt) -> u32 {
    let mask = u32::MAX.checked_shr(max.leading_zeros()).unwrap_or(0);
    loop {
        let value = mt.next_u32() & mask;
        if value <= max {
            return value;
        }
    }
}

/// The indices that a job trains on. Without a cut (imbalance 1, no `train_per_class`) these are
/// all, as stored.
///
/// # Errors
/// A cut so deep that a class loses all its images, or a class that has none to begin with.
pub(super) fn choose(labels: &[u32], classes: &[String], spec: &DataSpec) -> Result<Vec<u32>> {
    let available = tally(labels, classes.len());
    if let Some(empty) = available.iter().position(|n| *n == 0) {
        return Err(Error::Failure(format!(
            "class `{}` has no training images: add some, or leave the class out",
            classes[empty]
        )));
    }
    if spec.imbalance == 1.0 && spec.train_per_class.is_none() {
        return Ok((0..labels.len() as u32).collect());
    }
    let most = available.iter().copied().max().unwrap_or(0);
    let largest = spec.train_per_class.unwrap_or(most).min(most);
    let keep = counts(largest, classes.len(), spec.imbalance, spec.profile);
    if let Some(lost) = keep.iter().position(|n| *n == 0) {
        return Err(Error::usage(format!(
            "imbalance {} leaves class `{}` no image, as the largest class has {largest}: ask for at most --imbalance {largest}",
            spec.imbalance, classes[lost]
        )));
    }
    Ok(subset(labels, &keep, spec.subset, spec.subset_seed))
}

/// Largest class over smallest, an empty one counting as 1.
pub fn ratio(counts: &[usize]) -> f64 {
    let most = counts.iter().max().copied().unwrap_or(0);
    let least = counts.iter().min().copied().unwrap_or(0);
    most as f64 / least.max(1) as f64
}

/// How often each of `classes` labels occurs.
pub(super) fn tally(labels: &[u32], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for label in labels {
        if let Some(n) = counts.get_mut(*label as usize) {
            *n += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_published_ones() {
        let total = |classes: usize, imbalance, profile| {
            counts(50_000 / classes, classes, imbalance, profile).iter().sum::<usize>()
        };
        let published = [
            (10.0, 20431, 19573, 27500),
            (20.0, 17023, 15907, 26250),
            (50.0, 13996, 12608, 25500),
            (100.0, 12406, 10847, 25250),
            (200.0, 11203, 9502, 25125),
        ];
        for (imbalance, ten, hundred, step) in published {
            assert_eq!(total(10, imbalance, Profile::Exp), ten);
            assert_eq!(total(100, imbalance, Profile::Exp), hundred);
            // Imbalance 200 leaves 2.5, thus 2, in each rare class of C = 100; no total is published.
            assert_eq!(total(10, imbalance, Profile::Step), step);
            if imbalance < 200.0 {
                assert_eq!(total(100, imbalance, Profile::Step), step);
            }
        }
        let per_class = |imbalance| counts(5000, 10, imbalance, Profile::Exp);
        assert_eq!(per_class(100.0), [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]);
        assert_eq!(per_class(50.0), [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]);
        assert_eq!(per_class(10.0), [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]);
        let shots = |imbalance| {
            let c = counts(500, 100, imbalance, Profile::Exp);
            let (many, few) = (c.iter().filter(|n| **n > 100), c.iter().filter(|n| **n < 20));
            (many.count(), few.count())
        };
        assert_eq!(
            [10.0, 20.0, 50.0, 100.0, 200.0].map(shots),
            [(69, 0), (53, 0), (41, 18), (35, 30), (30, 39)]
        );
    }

    #[test]
    fn counts_at_the_edges() {
        assert_eq!(counts(49, 2, 49.0, Profile::Exp), [49, 1]);
        assert_eq!(counts(7, 1, 100.0, Profile::Exp), [7]);
        assert_eq!(counts(7, 1, 100.0, Profile::Step), [7]);
        assert_eq!(counts(100, 3, 10.0, Profile::Step), [100, 10, 10]);
        assert_eq!(counts(5, 3, 1.0, Profile::Exp), [5, 5, 5]);
        assert!(counts(5, 0, 1.0, Profile::Exp).is_empty());
    }

    #[test]
    fn shuffle_is_numpys() {
        // np.random.seed(seed); a = np.arange(n); np.random.shuffle(a)
        let shuffled = |seed, n: u32| {
            let mut list: Vec<u32> = (0..n).collect();
            shuffle(&mut list, &mut Mt::new(seed));
            list
        };
        assert!(shuffled(0, 0).is_empty());
        assert_eq!(shuffled(0, 1), [0]);
        assert_eq!(shuffled(0, 2), [1, 0]);
        assert_eq!(shuffled(1, 2), [0, 1]);
        assert_eq!(shuffled(0, 10), [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]);
        assert_eq!(shuffled(42, 10), [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
        assert_eq!(shuffled(u32::MAX, 10), [6, 9, 5, 1, 8, 0, 7, 4, 2, 3]);
        assert_eq!(shuffled(0, 17), [1, 6, 8, 9, 13, 4, 2, 14, 10, 7, 16, 11, 3, 0, 5, 15, 12]);
        assert_eq!(shuffled(1, 16), [3, 13, 7, 2, 6, 10, 4, 1, 14, 0, 15, 9, 8, 12, 11, 5]);
        assert_eq!(shuffled(42, 5000)[..5], [1501, 2586, 2653, 1055, 705]);
        assert_eq!(shuffled(u32::MAX, 5000)[4996..], [3143, 3084, 290, 2467]);
    }

    /// FNV-1a of the little-endian bytes.
    fn fnv(list: &[u32]) -> u64 {
        list.iter().flat_map(|i| i.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |h, byte| {
            (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn subset_is_the_references() {
        // Computed with NumPy by the reference's loop: seed; per class where, shuffle, [:n].
        let ten: Vec<u32> = (0..50_000).map(|i| i % 10).collect();
        let keep = counts(5000, 10, 100.0, Profile::Exp);
        let zero = subset(&ten, &keep, SubsetRule::Shuffled, 0);
        assert_eq!(zero[..6], [3980, 38330, 48360, 45720, 6360, 25450]);
        assert_eq!(zero[12400..], [11269, 22619, 669, 15789, 4339, 11629]);
        assert_eq!((zero.len(), fnv(&zero)), (12406, 0xb0d4_92d8_cf69_90e7));
        let seven = subset(&ten, &keep, SubsetRule::Shuffled, 7);
        assert_eq!((seven.len(), fnv(&seven)), (12406, 0x86b0_7b7b_15c8_a617));
        // Classes of unequal size, 498 to 501, in no simple order.
        let hundred: Vec<u32> = (0..50_000).map(|i| i * 7 / 3 % 100).collect();
        let keep = counts(500, 100, 100.0, Profile::Exp);
        let cut = subset(&hundred, &keep, SubsetRule::Shuffled, 0);
        assert_eq!(cut[..3], [9000, 25286, 28286]);
        assert_eq!((cut.len(), fnv(&cut)), (10847, 0xd315_30a3_c52c_fe96));
    }

    #[test]
    fn the_first_of_each_class() {
        let targets = [2, 0, 1, 0, 0, 2, 1];
        assert_eq!(subset(&targets, &[2, 1, 9], SubsetRule::First, 0), [1, 3, 2, 0, 5]);
    }

    #[test]
    fn a_cut_says_when_it_is_too_deep() {
        let classes: Vec<String> = ["ash", "oak"].map(String::from).into();
        let labels = [0, 0, 0, 1, 1, 1, 1];
        let spec = |imbalance| DataSpec { imbalance, ..DataSpec::default() };
        assert_eq!(choose(&labels, &classes, &spec(1.0)).unwrap(), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(choose(&labels, &classes, &spec(2.0)).unwrap().len(), 5);
        let deep = choose(&labels, &classes, &spec(9.0)).unwrap_err();
        assert_eq!(deep.exit_code(), 2);
        assert!(deep.to_string().contains("`oak`") && deep.to_string().contains("at most"));
        let none = choose(&[0, 0], &classes, &spec(1.0)).unwrap_err();
        assert!(none.to_string().contains("class `oak` has no training images"));
        let capped = DataSpec { imbalance: 1.0, train_per_class: Some(2), ..DataSpec::default() };
        assert_eq!(choose(&labels, &classes, &capped).unwrap().len(), 4);
    }
}
