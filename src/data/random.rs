//! Random numbers that depend on nothing but their key: the same on every platform and thread.
//!
//! A list of words (seed, purpose, class, index, …) is hashed to a key; draw number k is a hash of
//! key and k. Two keys give independent sequences, so an image or an epoch can be made again
//! without making those before it.

/// The increment of SplitMix64: 2⁶⁴ over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64 (Steele, Lea and Flood, 2014): a bijection that mixes all bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    state: u64,
}

impl Draws {
    /// The sequence of a key. Keys of the same length that differ in any word differ in sequence.
    pub fn new(key: &[u64]) -> Self {
        let state = key.iter().fold(0, |h: u64, w| mix(h.wrapping_add(GOLDEN) ^ mix(*w)));
        Draws { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A whole number below `n` (0 for `n` = 0). By the high half of a product, whose bias of
    /// `n`/2⁶⁴ no one can measure.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// A number in [0, 1), with the 24 bits a float holds exactly.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 16_777_216.0
    }

    /// A number in [low, high).
    pub fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A number around 0, at most `spread` away, the nearer the likelier (triangular).
    pub fn around(&mut self, spread: f32) -> f32 {
        (self.unit() - self.unit()) * spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_fixed_and_depend_on_every_word() {
        let first = |key: &[u64]| Draws::new(key).bits();
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
        for other in [[0, 2, 3], [1, 0, 3], [1, 2, 0], [2, 1, 3]] {
            assert_ne!(first(&[1, 2, 3]), first(&other));
        }
        // SplitMix64 from state 0: the published first outputs.
        let mut draws = Draws { state: 0 };
        assert_eq!(draws.bits(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(draws.bits(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn numbers_stay_in_range_and_fill_it() {
        let mut draws = Draws::new(&[5]);
        let mut seen = [0; 7];
        for _ in 0..7000 {
            seen[draws.below(7)] += 1;
            let x = draws.within(-2.0, 3.0);
            assert!((-2.0..3.0).contains(&x) && draws.around(0.5).abs() <= 0.5);
        }
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
        assert_eq!(draws.below(0), 0);
    }
}
