//! The order in which an epoch visits the images.
//!
//! (seed, epoch) → permutation of 0..n → the trainer cuts it into batches.

use super::random::Draws;

/// Keeps the sampler's sequences apart from those of other users of the same seed.
const PURPOSE: u64 = 0x5A3B_1E01;

/// Whether and how the order changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// As stored.
    None,
    /// A new permutation every epoch.
    Epoch,
}

/// The indices 0..n in the order of an epoch. It depends on nothing but the arguments, so a resumed
/// run continues with the order that the unbroken one would have had.
pub fn epoch_order(n: usize, seed: u64, epoch: u64, shuffle: Shuffle) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    if shuffle == Shuffle::Epoch {
        let mut draws = Draws::new(&[PURPOSE, seed, epoch]);
        for i in (1..n).rev() {
            order.swap(i, draws.below(i + 1));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_image_once() {
        let mut order = epoch_order(1000, 3, 7, Shuffle::Epoch);
        assert_eq!(order, epoch_order(1000, 3, 7, Shuffle::Epoch));
        assert_ne!(order, epoch_order(1000, 3, 8, Shuffle::Epoch));
        assert_ne!(order, epoch_order(1000, 4, 7, Shuffle::Epoch));
        order.sort_unstable();
        assert_eq!(order, epoch_order(1000, 3, 7, Shuffle::None));
        assert!(epoch_order(0, 0, 0, Shuffle::Epoch).is_empty());
    }

    #[test]
    fn every_place_is_equally_likely() {
        let mut seen = [[0usize; 4]; 4];
        for epoch in 0..4000 {
            for (place, image) in epoch_order(4, 1, epoch, Shuffle::Epoch).iter().enumerate() {
                seen[place][*image as usize] += 1;
            }
        }
        assert!(seen.iter().flatten().all(|n| (880..1120).contains(n)), "{seen:?}");
    }
}
