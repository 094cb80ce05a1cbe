//! The order in which an epoch visits the images.
//!
//! (labels, rule, seed, epoch) → indices → the trainer cuts them into batches. With class j's probability
//! p_j and count n_j: instance-balanced p ∝ n, class-balanced p = 1/C, square-root p ∝ √n, progressive
//! p = (1 − t)·n/N + t/C with t from 0 to 1 over the epochs (Kang et al., ICLR 2020), effective
//! p ∝ n·(1 − β)/(1 − βⁿ) (Cui et al., CVPR 2019); all of these draw with replacement. Class-aware
//! sampling (Shen et al., ECCV 2016) takes classes from a shuffled ring, and each class's images from a
//! ring of its own.

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

/// Which images an epoch draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Every image once.
    Instance,
    /// p_j ∝ n_j^q, with replacement: 0 class-balanced, ½ square-root.
    Power(f64),
    /// From instance- to class-balanced as the epochs pass.
    Progressive,
    /// By the effective number of samples with this β.
    Effective(f64),
    /// Rings of classes and of their images, so many draws of a class at a time.
    ClassAware(usize),
    /// As many images of each class as the smallest has.
    Under,
    /// As many of each class as the largest has: each image as often, the rest drawn without replacement.
    Over,
    /// Every image of a selection once ([`super::one_sided`]).
    OneSided,
    /// As many features of each class as the largest has images ([`super::smote`]).
    Smote,
    /// Whole batches of this many images in pairs: one in instance-balanced order (every image once in two
    /// epochs), one class-balanced.
    Paired(usize),
}

/// Images by class, to draw from.
#[derive(Clone, Debug)]
pub struct Pool {
    classes: Vec<Vec<u32>>,
    images: usize,
}

impl Pool {
    /// The images of each class. Classes without images are never drawn.
    pub fn new(labels: &[u32], classes: usize) -> Self {
        let mut of = vec![Vec::new(); classes];
        for (image, label) in labels.iter().enumerate() {
            of[*label as usize].push(image as u32);
        }
        Pool { classes: of, images: labels.len() }
    }

    fn counts(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(Vec::len)
    }

    /// Images in an epoch of `rule`.
    pub fn epoch_len(&self, rule: Rule) -> usize {
        let held = self.counts().filter(|n| *n > 0);
        match rule {
            Rule::Under => self.counts().filter(|n| *n > 0).min().unwrap_or(0) * held.count(),
            Rule::Over | Rule::Smote => self.counts().max().unwrap_or(0) * held.count(),
            Rule::Paired(batch) => (self.images / batch.max(1)).max(1) * batch,
            _ => self.images,
        }
    }

    /// Each class's probability in an epoch at `progress` (0 the first, 1 the last).
    pub fn probabilities(&self, rule: Rule, progress: f64) -> Vec<f64> {
        let held = self.counts().filter(|n| *n > 0).count() as f64;
        let weight = |n: usize| {
            let count = n as f64;
            match rule {
                _ if n == 0 => 0.0,
                Rule::Power(q) => count.powf(q),
                Rule::Progressive => {
                    (1.0 - progress) * count / self.images as f64 + progress / held
                }
                Rule::Effective(beta) => count * (1.0 - beta) / -(count * beta.ln()).exp_m1(),
                Rule::Instance => count,
                _ => 1.0,
            }
        };
        let all: Vec<f64> = self.counts().map(weight).collect();
        let sum: f64 = all.iter().sum();
        all.iter().map(|w| w / sum).collect()
    }

    /// The images of an epoch in order: a function of the arguments alone.
    pub fn epoch(&self, rule: Rule, seed: u64, epoch: u64, progress: f64) -> Vec<u32> {
        let mut draws = Draws::new(&[PURPOSE ^ 1, seed, epoch]);
        match rule {
            Rule::Instance => epoch_order(self.images, seed, epoch, Shuffle::Epoch),
            Rule::ClassAware(each) => self.rings(each.max(1), &mut draws),
            Rule::Paired(_) => {
                let half = self.epoch_len(rule) / 2;
                let all = epoch_order(self.images, seed, epoch / 2, Shuffle::Epoch);
                let first = (epoch % 2) as usize * half;
                let balanced = self.epoch(Rule::Power(0.0), seed, epoch, progress);
                let pair = |i: usize| [all[(first + i) % all.len()], balanced[i % balanced.len()]];
                (0..half).flat_map(pair).collect()
            }
            Rule::Under | Rule::Over => {
                let held = || self.classes.iter().filter(|c| !c.is_empty());
                let most = match rule {
                    Rule::Under => held().map(Vec::len).min(),
                    _ => held().map(Vec::len).max(),
                };
                let mut order = Vec::new();
                for class in held() {
                    let mut left = most.unwrap_or(0);
                    while left > 0 {
                        let mut once = class.clone();
                        shuffle(&mut once, &mut draws);
                        once.truncate(left);
                        left -= once.len();
                        order.extend(once);
                    }
                }
                shuffle(&mut order, &mut draws);
                order
            }
            _ => {
                let mut bounds = self.probabilities(rule, progress);
                for i in 1..bounds.len() {
                    bounds[i] += bounds[i - 1];
                }
                (0..self.images).filter_map(|_| self.draw(&bounds, &mut draws)).collect()
            }
        }
    }

    /// An image of a class drawn by cumulated probabilities.
    fn draw(&self, bounds: &[f64], draws: &mut Draws) -> Option<u32> {
        let u = (draws.bits() >> 11) as f64 / (1u64 << 53) as f64;
        // Rounding may leave the last bound below 1: the last class that holds images takes the rest.
        let last = self.classes.iter().rposition(|c| !c.is_empty())?;
        let class = bounds.partition_point(|b| *b <= u).min(last);
        let images = &self.classes[class];
        images.get(draws.below(images.len())).copied()
    }

    /// As many draws as images: classes in a shuffled ring, `each` images of one before the next.
    fn rings(&self, each: usize, draws: &mut Draws) -> Vec<u32> {
        let mut ring: Vec<usize> =
            (0..self.classes.len()).filter(|c| !self.classes[*c].is_empty()).collect();
        let mut own: Vec<(Vec<u32>, usize)> = self.classes.iter().map(|c| (c.clone(), 0)).collect();
        for (images, _) in &mut own {
            shuffle(images, draws);
        }
        let mut order = Vec::with_capacity(self.images + each);
        while order.len() < self.images {
            shuffle(&mut ring, draws);
            for class in &ring {
                let (images, next) = &mut own[*class];
                for _ in 0..each {
                    if *next == images.len() {
                        shuffle(images, draws);
                        *next = 0;
                    }
                    order.push(images[*next]);
                    *next += 1;
                }
            }
        }
        order.truncate(self.images);
        order
    }
}

pub(super) fn shuffle<T>(items: &mut [T], draws: &mut Draws) {
    for i in (1..items.len()).rev() {
        items.swap(i, draws.below(i + 1));
    }
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

    /// Three classes of 600, 60 and 6 images.
    fn pool() -> (Pool, Vec<u32>) {
        let labels: Vec<u32> = [(0, 600), (1, 60), (2, 6)]
            .into_iter()
            .flat_map(|(c, n)| std::iter::repeat_n(c, n))
            .collect();
        (Pool::new(&labels, 3), labels)
    }

    fn shares(order: &[u32], labels: &[u32]) -> [f64; 3] {
        let mut counts = [0.0; 3];
        for i in order {
            counts[labels[*i as usize] as usize] += 1.0 / order.len() as f64;
        }
        counts
    }

    #[test]
    fn classes_come_as_often_as_their_formula_says() {
        let (pool, labels) = pool();
        let root: f64 = 600f64.sqrt() + 60f64.sqrt() + 6f64.sqrt();
        let third = 1.0 / 3.0;
        let cases = [
            (Rule::Power(0.0), 0.0, [third; 3]),
            (Rule::Power(0.5), 0.0, [600f64, 60.0, 6.0].map(|n| n.sqrt() / root)),
            (Rule::Progressive, 0.0, [600.0, 60.0, 6.0].map(|n| n / 666.0)),
            (Rule::Progressive, 1.0, [third; 3]),
            (Rule::Progressive, 0.5, [600.0, 60.0, 6.0].map(|n| 0.5 * n / 666.0 + 0.5 / 3.0)),
            // β → 1: the weight of an image is 1/n, of a class 1
            (Rule::Effective(1.0 - 1e-12), 0.0, [third; 3]),
            // β = 0: every image weighs the same
            (Rule::Effective(1e-12), 0.0, [600.0, 60.0, 6.0].map(|n| n / 666.0)),
        ];
        for (rule, progress, want) in cases {
            let orders = (0..40).flat_map(|e| pool.epoch(rule, 3, e, progress));
            let order: Vec<u32> = orders.collect();
            assert_eq!(order.len(), 40 * 666);
            let found = shares(&order, &labels);
            for (f, w) in found.iter().zip(want) {
                assert!((f - w).abs() < 0.012, "{rule:?} at {progress}: {found:?}, not {want:?}");
            }
            assert_eq!(pool.epoch(rule, 3, 1, progress), pool.epoch(rule, 3, 1, progress));
            assert_ne!(pool.epoch(rule, 3, 1, progress), pool.epoch(rule, 4, 1, progress));
        }
    }

    #[test]
    fn rings_use_every_image_of_a_class_before_any_again() {
        let (pool, labels) = pool();
        let order = pool.epoch(Rule::ClassAware(4), 1, 0, 0.0);
        assert_eq!(order.len(), 666);
        for run in order.chunks(4) {
            assert!(run.iter().all(|i| labels[*i as usize] == labels[run[0] as usize]));
        }
        let found = shares(&order, &labels);
        assert!(found.iter().all(|s| (s - 1.0 / 3.0).abs() < 0.01), "{found:?}");
        let mut rare: Vec<u32> =
            order.iter().copied().filter(|i| labels[*i as usize] == 2).take(6).collect();
        rare.sort_unstable();
        assert_eq!(rare, (660..666).collect::<Vec<u32>>());
    }

    #[test]
    fn under_and_over_even_the_counts() {
        let (pool, labels) = pool();
        let under = pool.epoch(Rule::Under, 1, 0, 0.0);
        assert_eq!((under.len(), pool.epoch_len(Rule::Under)), (18, 18));
        let over = pool.epoch(Rule::Over, 1, 0, 0.0);
        assert_eq!((over.len(), pool.epoch_len(Rule::Over)), (1800, 1800));
        for (order, each) in [(under, 6), (over, 600)] {
            for class in 0..3 {
                let n = order.iter().filter(|i| labels[**i as usize] == class).count();
                assert_eq!(n, each);
            }
        }
        let mut all = pool.epoch(Rule::Over, 1, 0, 0.0);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 666, "over-sampling shows every image");
    }

    #[test]
    fn pairs_are_instance_and_class_balanced() {
        let (pool, labels) = pool();
        let rule = Rule::Paired(16);
        assert_eq!(pool.epoch_len(rule), 41 * 16);
        let (mut instance, mut balanced): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for epoch in 0..2 {
            let order = pool.epoch(rule, 5, epoch, 0.0);
            assert_eq!(order.len(), 41 * 16);
            instance.extend(order.iter().step_by(2));
            balanced.extend(order.iter().skip(1).step_by(2).copied());
        }
        let found = shares(&balanced, &labels);
        assert!(found.iter().all(|s| (s - 1.0 / 3.0).abs() < 0.06), "{found:?}");
        instance.sort_unstable();
        instance.dedup();
        assert_eq!(instance.len(), 2 * 41 * 8, "no image twice in two epochs");
        // Fewer images than a batch: still a whole one.
        assert_eq!(Pool::new(&[0, 1, 1], 2).epoch(Rule::Paired(8), 0, 1, 0.0).len(), 8);
    }

    #[test]
    fn a_class_without_images_is_never_drawn() {
        let pool = Pool::new(&[0, 0, 2], 4);
        let rules = [Rule::Power(0.0), Rule::Progressive, Rule::ClassAware(4), Rule::Over];
        for rule in rules {
            let order = pool.epoch(rule, 0, 0, 1.0);
            assert!(!order.is_empty() && order.iter().all(|i| *i < 3), "{rule:?} {order:?}");
        }
    }
}
