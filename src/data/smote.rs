//! SMOTE in feature space (Chawla et al., JAIR 2002): a classifier learns alone, on the features of a network
//! that is fixed, and every class gets as many of them as the largest has images.
//!
//! Features of all images → each one's k nearest of its class → an epoch: every image once as it is, then
//! draws x_i with one of its neighbours x_n; the step makes x_i + δ(x_n − x_i), δ uniform in [0, 1)
//! ([`crate::ops::between`]). An image
//! as it is stands beside itself, where δ makes no difference.

use super::neighbours::Points;
use super::random::Draws;
use super::sampler::shuffle;

/// Keeps the draws apart from those of other users of the same seed.
const PURPOSE: u64 = 0x0005_7E0B;

/// Images by class with their neighbours.
#[derive(Clone, Debug)]
pub struct Smote {
    classes: Vec<Vec<u32>>,
    neighbours: Vec<Vec<u32>>,
}

impl Smote {
    /// The `k` nearest images of the same class of each image, by its point.
    pub fn new(points: &Points<'_>, labels: &[u32], classes: usize, k: usize) -> Self {
        let mut of = vec![Vec::new(); classes];
        for (image, label) in labels.iter().enumerate() {
            of[*label as usize].push(image as u32);
        }
        let mut neighbours = vec![Vec::new(); labels.len()];
        for images in &of {
            for (image, near) in images.iter().zip(points.nearest_of_each(images, images, k)) {
                neighbours[*image as usize] = near;
            }
        }
        Smote { classes: of, neighbours }
    }

    /// An epoch's images, and for each the one that it is drawn towards: a function of the arguments alone.
    pub fn epoch(&self, seed: u64, epoch: u64) -> (Vec<u32>, Vec<u32>) {
        let mut draws = Draws::new(&[PURPOSE, seed, epoch]);
        let most = self.classes.iter().map(Vec::len).max().unwrap_or(0);
        let mut pairs = Vec::new();
        for images in self.classes.iter().filter(|images| !images.is_empty()) {
            pairs.extend(images.iter().map(|image| (*image, *image)));
            for _ in images.len()..most {
                let image = images[draws.below(images.len())];
                let near = &self.neighbours[image as usize];
                let other = near.get(draws.below(near.len())).copied().unwrap_or(image);
                pairs.push((image, other));
            }
        }
        shuffle(&mut pairs, &mut draws);
        pairs.into_iter().unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_as_many_draws_each_towards_a_neighbour_of_its_own() {
        let mut draws = Draws::new(&[4]);
        let labels: Vec<u32> = (0..61).map(|i| u32::from(i >= 40) + u32::from(i >= 60)).collect();
        let at: Vec<f32> = labels.iter().map(|_| draws.unit()).collect();
        let smote = Smote::new(&Points::new(&at, 1), &labels, 4, 3);
        let (images, others) = smote.epoch(1, 2);
        assert_eq!((images.clone(), others.clone()), smote.epoch(1, 2));
        assert_ne!(images, smote.epoch(1, 3).0);
        assert_eq!((images.len(), others.len()), (120, 120));
        let own = images.iter().zip(&others).filter(|(i, o)| i == o).count();
        // Every image once as it is, and the class of one has no neighbours.
        assert_eq!(own, 61 + 39);
        for class in 0..3 {
            assert_eq!(images.iter().filter(|i| labels[**i as usize] == class).count(), 40);
        }
        for (image, other) in images.iter().zip(&others).filter(|(i, o)| i != o) {
            assert_eq!(labels[*image as usize], labels[*other as usize]);
            let distance = |j: u32| (at[*image as usize] - at[j as usize]).abs();
            let same = (0..61).filter(|j| labels[*j as usize] == labels[*image as usize]);
            let nearer = same.filter(|j| j != image && distance(*j) < distance(*other)).count();
            assert!(nearer < 3, "{nearer} are nearer");
        }
    }
}
