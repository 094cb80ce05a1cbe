//! Which images are set apart, from testing's folder-less classes or for calibration.
//!
//! Each image has a rank, a hash of (seed, purpose, its name): the lowest of a class are set apart.
//! So a choice depends on the seed and the names alone, and images added later move few others.

use super::random::Draws;
use super::{DataSpec, Splits, longtail};
use crate::error::{Error, Result};

/// What a choice is for, so that two choices of one seed are independent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Test images of a folder that has none.
    Test = 0x7E57,
    /// Images to calibrate on.
    Calibration = 0xCA1B,
}

/// Marks `n` of the images of a class, given by name.
pub(super) fn apart<'a>(
    names: impl Iterator<Item = &'a [u8]>,
    n: usize,
    seed: u64,
    purpose: Purpose,
) -> Vec<bool> {
    let ranks: Vec<u64> = names.map(|name| rank(name, seed, purpose)).collect();
    let mut order: Vec<usize> = (0..ranks.len()).collect();
    order.sort_by_key(|i| (ranks[*i], *i));
    let mut marked = vec![false; ranks.len()];
    order.iter().take(n).for_each(|i| marked[*i] = true);
    marked
}

fn rank(name: &[u8], seed: u64, purpose: Purpose) -> u64 {
    let mut key = vec![purpose as u64, seed, name.len() as u64];
    key.extend(name.chunks(8).map(|part| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(word)
    }));
    Draws::new(&key).bits()
}

/// How many of a class's `n` images are for testing: one in five, rounded, at least one of two.
pub(super) fn tested(n: usize) -> usize {
    if n < 2 { 0 } else { ((n + 2) / 5).max(1) }
}

/// Moves a share of each class's training images (rounded down) to [`Splits::val`].
///
/// # Errors
/// A validation set that is there already; a share so small that no image is held out.
pub(super) fn hold_out(mut splits: Splits, spec: &DataSpec) -> Result<Splits> {
    if splits.val.is_some() {
        return Err(Error::usage(format!(
            "holdout is {}, but {} has a validation folder, which is used instead: leave --holdout out",
            spec.holdout, splits.train.name
        )));
    }
    let mut held = vec![false; splits.train.len()];
    let mut classes = vec![Vec::new(); splits.counts.len()];
    for (i, label) in splits.train.labels.iter().enumerate() {
        classes[*label as usize].push(i);
    }
    for members in classes {
        let n = (members.len() as f64 * spec.holdout + 1e-9).floor() as usize;
        let names: Vec<[u8; 4]> =
            members.iter().map(|i| splits.indices[*i].to_le_bytes()).collect();
        let names = names.iter().map(|n| n.as_slice());
        let marked = apart(names, n, spec.seed, Purpose::Calibration);
        members.iter().zip(marked).for_each(|(i, mark)| held[*i] = mark);
    }
    let of = |wanted: bool| -> Vec<u32> {
        (0..held.len() as u32).filter(|i| held[*i as usize] == wanted).collect()
    };
    let (kept, apart) = (of(false), of(true));
    if apart.is_empty() {
        let most = splits.counts.iter().max().copied().unwrap_or(0);
        return Err(Error::usage(format!(
            "holdout {} holds no image out, as the largest class has {most}: give a larger --holdout, or 0",
            spec.holdout
        )));
    }
    splits.val = Some(splits.train.select(&apart));
    splits.train = splits.train.select(&kept);
    splits.indices = kept.iter().map(|i| splits.indices[*i as usize]).collect();
    splits.counts = longtail::tally(&splits.train.labels, splits.counts.len());
    Ok(splits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(names: &[String], n: usize, seed: u64) -> Vec<&String> {
        let marks = apart(names.iter().map(|n| n.as_bytes()), n, seed, Purpose::Test);
        names.iter().zip(marks).filter(|(_, m)| *m).map(|(n, _)| n).collect()
    }

    #[test]
    fn a_choice_is_of_the_seed_and_lasts_when_images_are_added() {
        let names: Vec<String> = (0..100).map(|i| format!("IMG_{i}.jpg")).collect();
        let first = marked(&names, 20, 0);
        assert_eq!(first.len(), 20);
        assert_eq!(first, marked(&names, 20, 0));
        assert_ne!(first, marked(&names, 20, 1));
        let mut more = names.clone();
        more.insert(50, "IMG_new.jpg".into());
        let moved = marked(&more, 20, 0).into_iter().filter(|n| !first.contains(n)).count();
        assert!(moved <= 1, "{moved} images changed sides");
        // A longer name is another name, though only zeros follow.
        assert_ne!(rank(b"a", 0, Purpose::Test), rank(b"a\0", 0, Purpose::Test));
        assert_ne!(rank(b"a", 0, Purpose::Test), rank(b"a", 0, Purpose::Calibration));
    }

    #[test]
    fn one_in_five_and_at_least_one_of_two() {
        let counts: Vec<usize> = (0..14).map(tested).collect();
        assert_eq!(counts, [0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3]);
    }

    #[test]
    fn a_share_of_each_class_is_held_out() {
        let spec = DataSpec {
            train_per_class: Some(40),
            test_per_class: Some(2),
            imbalance: 10.0,
            holdout: 0.25,
            ..DataSpec::default()
        };
        let whole = super::super::load(&DataSpec { holdout: 0.0, ..spec.clone() }).unwrap();
        let splits = super::super::load(&spec).unwrap();
        let val = splits.val.as_ref().unwrap();
        for (class, n) in whole.counts.iter().enumerate() {
            assert_eq!(val.class_counts()[class], n / 4);
            assert_eq!(splits.counts[class], n - n / 4);
        }
        // Nothing is lost or doubled: every image is on one side, with its label.
        let mut sides: Vec<(&[u8], u32)> = Vec::new();
        for set in [&splits.train, val] {
            sides.extend((0..set.len()).map(|i| (set.image(i), set.labels[i])));
        }
        let mut all: Vec<(&[u8], u32)> =
            (0..whole.train.len()).map(|i| (whole.train.image(i), whole.train.labels[i])).collect();
        sides.sort_unstable();
        all.sort_unstable();
        assert!(sides == all);
        let little = super::super::load(&DataSpec { holdout: 0.001, ..spec }).unwrap_err();
        assert!(little.exit_code() == 2 && little.to_string().contains("holds no image out"));
    }
}
