//! One-sided selection (Kubat and Matwin, ICML 1997) for several classes: the smallest class is kept whole, and
//! each other class is thinned against it.
//!
//! Points → condensing: of another class, one drawn image stays, and those that the nearest of it and the
//! smallest class's images would put into the smallest class → Tomek links: of two images of different classes
//! that are each other's nearest, the one of the larger class goes, unless it is its class's last.

use super::Dataset;
use super::neighbours::Points;
use super::random::Draws;

/// Keeps the draws apart from those of other users of the same seed.
const PURPOSE: u64 = 0x05E1_EC7E;
/// Cells of an image in each direction, whose means are its point.
const CELLS: usize = 8;

/// The images of `points` with these labels that stay, in order.
pub fn select(points: &Points<'_>, labels: &[u32], classes: usize, seed: u64) -> Vec<u32> {
    let mut of = vec![Vec::new(); classes];
    for (image, label) in labels.iter().enumerate() {
        of[*label as usize].push(image as u32);
    }
    let mut draws = Draws::new(&[PURPOSE, seed]);
    let kept = condensed(points, &of, |images| images[draws.below(images.len())]);
    without_links(points, labels, &of.iter().map(Vec::len).collect::<Vec<_>>(), kept)
}

/// The smallest class's images, and of each other class the one that `first` draws with those that the nearest
/// of it and the smallest class's is not of their own.
fn condensed(
    points: &Points<'_>,
    of: &[Vec<u32>],
    mut first: impl FnMut(&[u32]) -> u32,
) -> Vec<u32> {
    let held = (0..of.len()).filter(|c| !of[*c].is_empty());
    let Some(smallest) = held.min_by_key(|c| of[*c].len()) else { return Vec::new() };
    let mut kept = of[smallest].clone();
    for (class, images) in of.iter().enumerate() {
        if class == smallest || images.is_empty() {
            continue;
        }
        let first = first(images);
        let known: Vec<u32> = of[smallest].iter().copied().chain([first]).collect();
        let stays = |image: &u32| {
            *image == first
                || points.nearest(*image, &known, 1).first().is_some_and(|n| *n != first)
        };
        kept.extend(images.iter().copied().filter(stays));
    }
    kept.sort_unstable();
    kept
}

/// `kept` without the larger class's image of each Tomek link.
fn without_links(
    points: &Points<'_>,
    labels: &[u32],
    counts: &[usize],
    mut kept: Vec<u32>,
) -> Vec<u32> {
    let nearest: Vec<Option<u32>> =
        points.nearest_of_each(&kept, &kept, 1).iter().map(|n| n.first().copied()).collect();
    let mut left = vec![0usize; counts.len()];
    for image in &kept {
        left[labels[*image as usize] as usize] += 1;
    }
    let nearest_of = |image: u32| kept.binary_search(&image).ok().and_then(|at| nearest[at]);
    let mut goes: Vec<u32> = Vec::new();
    for (image, other) in kept.iter().zip(&nearest) {
        let Some(other) = *other else { continue };
        let class = |i: u32| labels[i as usize] as usize;
        let (own, theirs) = (class(*image), class(other));
        let linked = own != theirs && nearest_of(other) == Some(*image);
        if linked && counts[own] > counts[theirs] && left[own] > 1 {
            left[own] -= 1;
            goes.push(*image);
        }
    }
    kept.retain(|image| goes.binary_search(image).is_err());
    kept
}

/// A point for each image of `data`: the means of 8 × 8 cells of each channel, on a scale to 1. Their number is
/// how many a point has.
pub fn cells(data: &Dataset) -> (Vec<f32>, usize) {
    let [channels, h, w] = data.shape;
    let cuts = |size: usize| -> Vec<[usize; 2]> {
        let count = CELLS.min(size);
        (0..count).map(|i| [i * size / count, (i + 1) * size / count]).collect()
    };
    let (rows, columns) = (cuts(h), cuts(w));
    let mut values = Vec::new();
    for plane in data.pixels.chunks_exact(h * w) {
        for [top, bottom] in &rows {
            for [left, right] in &columns {
                let sum: u32 = (*top..*bottom)
                    .flat_map(|y| &plane[y * w + left..y * w + right])
                    .map(|v| u32::from(*v))
                    .sum();
                let area = (bottom - top) * (right - left);
                values.push(sum as f32 / (255 * area) as f32);
            }
        }
    }
    (values, channels * rows.len() * columns.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on a line.
    fn line(at: &[f32], labels: &[u32], seed: u64) -> Vec<u32> {
        select(&Points::new(at, 1), labels, 3, seed)
    }

    #[test]
    fn what_lies_by_the_smallest_class_stays_and_links_go() {
        // Class 1, at 0 and 1, is the smallest. Class 0 has a crowd far off, one of which is drawn and stays;
        // of its two near class 1, the one at 1.1 is linked to 1.
        let at = [0.0, 1.0, 1.1, 1.8, 50.0, 50.1, 50.3, 50.6];
        let labels = [1, 1, 0, 0, 0, 0, 0, 0];
        for seed in 0..40 {
            let kept = line(&at, &labels, seed);
            assert!(kept.contains(&0) && kept.contains(&1), "{kept:?}");
            let far = kept.iter().filter(|i| **i >= 4).count();
            if far == 0 {
                // Drawn near class 1 itself: then it is what the crowd is nearest to.
                assert!(kept.contains(&2) || kept.contains(&3), "{kept:?}");
                continue;
            }
            assert_eq!(far, 1, "{kept:?}");
            assert_eq!(kept, [0, 1, 3, *kept.last().expect("images")]);
        }
    }

    #[test]
    fn it_follows_its_definition_on_a_larger_set() {
        let mut draws = Draws::new(&[9]);
        let labels: Vec<u32> =
            (0..172).map(|i| u32::from(i >= 120) + u32::from(i >= 160)).collect();
        let at: Vec<f32> = labels.iter().map(|c| *c as f32 + draws.within(-1.5, 1.5)).collect();
        let of = |class: u32| -> Vec<u32> {
            (0..172).filter(|i| labels[*i as usize] == class).collect()
        };
        let distance = |a: u32, b: u32| (at[a as usize] - at[b as usize]).abs();
        let nearest = |i: u32, among: &[u32]| -> u32 {
            let others = among.iter().copied().filter(|j| *j != i);
            others.min_by(|a, b| distance(i, *a).total_cmp(&distance(i, *b))).expect("a neighbour")
        };
        let points = Points::new(&at, 1);
        let found = condensed(&points, &[of(0), of(1), of(2)], |images| images[5]);
        let stays = |i: &u32| {
            let class = labels[*i as usize];
            let first = of(class)[5];
            let known = [of(2), vec![first]].concat();
            class == 2 || *i == first || labels[nearest(*i, &known) as usize] != class
        };
        assert_eq!(found, (0..172).filter(stays).collect::<Vec<u32>>());
        let linked = |i: u32| {
            let other = nearest(i, &found);
            labels[other as usize] > labels[i as usize] && nearest(other, &found) == i
        };
        let left: Vec<u32> = found.iter().copied().filter(|i| !linked(*i)).collect();
        assert!(left.len() < found.len() && found.len() < 172, "nothing to test");
        assert_eq!(without_links(&points, &labels, &[120, 40, 12], found), left);
        assert_eq!(line(&at, &labels, 3), line(&at, &labels, 3));
    }

    #[test]
    fn cells_are_means_of_their_pixels() {
        let pixels: Vec<u8> = (0..2 * 16 * 16).map(|i| (i % 251) as u8).collect();
        let data = Dataset {
            name: String::new(),
            classes: vec!["a".into()],
            shape: [2, 16, 16],
            pixels: pixels.clone(),
            labels: vec![0],
            files: None,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let (values, dims) = cells(&data);
        assert_eq!((values.len(), dims), (128, 128));
        let wanted = [256 + 32, 256 + 33, 256 + 48, 256 + 49].map(|i| f32::from(pixels[i]));
        assert!((values[64 + 8] - wanted.iter().sum::<f32>() / (4.0 * 255.0)).abs() < 1e-6);
    }
}
