//! Feature strength: how strongly the channels that speak for frequent classes and those that speak
//! for rare ones answer to test images. The definition is this project's own; the NBN paper's is not
//! published in a form we could read.
//!
//! With A the maps behind the last ReLU and W the linear head, channel k contributes to class j
//! c_jk = W_jk · mean over j's test images of GAP(A)_k. A channel is frequent-specific if the mean of
//! c_jk over the frequent classes is among its top share and the mean over the rare classes is not,
//! and rare-specific the other way round. μ and σ are mean and standard deviation of A over those
//! channels, all positions and the test images of a group of classes.
//!
//! [`measure`]: a [`Session`] and a test set → sums for each class and channel → [`Features`], which
//! the trainer keeps as `features.json` in the run's folder.

use super::atomic::write_atomic;
use super::device_set::DeviceSet;
use super::metrics::Shot;
use super::session::Session;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::nn::head_weight;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The share of channels that counts as a group's top.
pub const SHARE: f64 = 0.2;
/// The most test images that are looked at.
const IMAGES: usize = 2000;
/// Rarest classes with a picture, beside the most frequent one.
const PICTURES: usize = 3;

/// Mean and standard deviation of both kinds of channels over some images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// Mean over the frequent-specific channels.
    pub mean_frequent: f64,
    /// Standard deviation over them.
    pub sd_frequent: f64,
    /// Mean over the rare-specific channels.
    pub mean_rare: f64,
    /// Standard deviation over them.
    pub sd_rare: f64,
}

/// A test image with where both kinds of channels answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Its class.
    pub class: usize,
    /// Its index in the test set.
    pub image: usize,
    /// The class it was taken for.
    pub predicted: usize,
    /// Rows and columns of the maps.
    pub size: [usize; 2],
    /// Mean of A over the frequent-specific channels at each position.
    pub frequent: Vec<f32>,
    /// Mean of A over the rare-specific channels at each position.
    pub rare: Vec<f32>,
    /// The image as PNG in base64.
    pub png: String,
}

/// Feature strength of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// Optimizer steps behind the network.
    pub step: u32,
    /// Channels of the maps.
    pub channels: usize,
    /// Test images looked at: the first ones of each class.
    pub images: usize,
    /// Classes called frequent: many-shot, or the most frequent third if either group is empty.
    pub frequent_classes: Vec<usize>,
    /// Classes called rare: few-shot, or the rarest third.
    pub rare_classes: Vec<usize>,
    /// Frequent-specific channels.
    pub frequent_channels: Vec<usize>,
    /// Rare-specific channels.
    pub rare_channels: Vec<usize>,
    /// On test images of the rare classes.
    pub on_rare: Strength,
    /// On test images of the frequent classes.
    pub on_frequent: Strength,
    /// A few test images.
    pub pictures: Vec<Picture>,
}

impl Features {
    /// The file of a run's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("features.json")
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let text =
            serde_json::to_string(self).map_err(|e| Error::Failure(format!("features: {e}")))?;
        write_atomic(&Self::path(folder), text.as_bytes())
    }

    /// Reads the file; `None` where there is none that can be read.
    pub fn load(folder: &Path) -> Option<Features> {
        serde_json::from_slice(&std::fs::read(Self::path(folder)).ok()?).ok()
    }
}

/// Frequent and rare classes by training count.
pub fn groups(counts: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let of = |shot| -> Vec<usize> {
        (0..counts.len()).filter(|c| Shot::of(counts[*c]) == shot).collect()
    };
    let (many, few) = (of(Shot::Many), of(Shot::Few));
    if !many.is_empty() && !few.is_empty() {
        return (many, few);
    }
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|c| std::cmp::Reverse(counts[*c]));
    let third = (order.len() / 3).max(1).min(order.len());
    (order[..third].to_vec(), order[order.len() - third..].to_vec())
}

/// Σ A and Σ A² of a channel over positions and images.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
}

// ANCHOR: specific
/// Channels among the top share of `a` and not of `b`.
fn specific(a: &[f64], b: &[f64]) -> Vec<usize> {
    let top = |v: &[f64]| {
        let mut order: Vec<usize> = (0..v.len()).collect();
        order.sort_by(|i, j| v[*j].total_cmp(&v[*i]).then(i.cmp(j)));
        order.truncate((v.len() as f64 * SHARE).ceil() as usize);
        order
    };
    let other = top(b);
    let mut found: Vec<usize> = top(a).into_iter().filter(|k| !other.contains(k)).collect();
    found.sort_unstable();
    found
}
// ANCHOR_END: specific

/// Measures the network of `session` on test images: the first of each class, 2,000 at most.
/// `chosen` classes get a picture; without any, the three rarest and the most frequent.
///
/// # Errors
/// What planning or the device reports.
pub fn measure(
    session: &mut Session,
    (data, set): (&Dataset, &DeviceSet),
    counts: &[usize],
    (batch, step): (usize, u32),
    chosen: &[usize],
) -> Result<Features> {
    let classes = data.classes.len();
    let order = first_of_each(&data.labels, classes, (IMAGES / classes.max(1)).max(1));
    set.set_order(&whole_order(&order, data.len()));
    let Some(head) = head_weight(&session.params.export(false)?) else {
        return Err(Error::Failure("the network has no linear head".into()));
    };
    let channels = head.len() / classes;
    let mut sums = vec![Sums::default(); classes * channels];
    let mut seen: Vec<Seen> = Vec::new();
    let mut pictured = pictured(counts, chosen);
    session.maps(set, order.len(), batch, |first, maps, logits, [h, w]| {
        let per_image = channels * h * w;
        for (i, maps) in maps.chunks_exact(per_image).enumerate() {
            let image = order[first + i] as usize;
            let class = data.labels[image] as usize;
            for (k, plane) in maps.chunks_exact(h * w).enumerate() {
                let s = &mut sums[class * channels + k];
                s.count += (h * w) as f64;
                s.sum += plane.iter().map(|a| f64::from(*a)).sum::<f64>();
                s.squares += plane.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>();
            }
            if let Some(at) = pictured.iter().position(|c| *c == class) {
                pictured.remove(at);
                let predicted = argmax(&logits[i * classes..(i + 1) * classes]);
                seen.push(Seen { class, image, predicted, size: [h, w], maps: maps.to_vec() });
            }
        }
    })?;
    let identity: Vec<u32> = (0..data.len() as u32).collect();
    set.set_order(&identity);
    let (frequent, rare) = groups(counts);
    let contribution = |group: &[usize]| -> Vec<f64> {
        let of = |k: usize| {
            let each = group.iter().map(|j| {
                let s = sums[j * channels + k];
                f64::from(head[j * channels + k]) * s.sum / s.count.max(1.0)
            });
            each.sum::<f64>() / group.len().max(1) as f64
        };
        (0..channels).map(of).collect()
    };
    let (for_frequent, for_rare) = (contribution(&frequent), contribution(&rare));
    let frequent_channels = specific(&for_frequent, &for_rare);
    let rare_channels = specific(&for_rare, &for_frequent);
    let spread = |group: &[usize], of: &[usize]| -> (f64, f64) {
        let pairs = group.iter().flat_map(|j| of.iter().map(move |k| j * channels + k));
        let t = pairs.map(|i| sums[i]).fold(Sums::default(), |a, b| Sums {
            count: a.count + b.count,
            sum: a.sum + b.sum,
            squares: a.squares + b.squares,
        });
        let mean = t.sum / t.count.max(1.0);
        (mean, (t.squares / t.count.max(1.0) - mean * mean).max(0.0).sqrt())
    };
    let strength = |group: &[usize]| {
        let (mean_frequent, sd_frequent) = spread(group, &frequent_channels);
        let (mean_rare, sd_rare) = spread(group, &rare_channels);
        Strength { mean_frequent, sd_frequent, mean_rare, sd_rare }
    };
    seen.sort_by_key(|s| (std::cmp::Reverse(counts.get(s.class).copied()), s.class));
    Ok(Features {
        step,
        channels,
        images: order.len(),
        on_rare: strength(&rare),
        on_frequent: strength(&frequent),
        pictures: seen
            .iter()
            .map(|s| s.picture(data, &frequent_channels, &rare_channels))
            .collect::<Result<_>>()?,
        frequent_classes: frequent,
        rare_classes: rare,
        frequent_channels,
        rare_channels,
    })
}

/// An image that gets a picture, with its maps.
struct Seen {
    class: usize,
    image: usize,
    predicted: usize,
    size: [usize; 2],
    maps: Vec<f32>,
}

impl Seen {
    fn picture(&self, data: &Dataset, frequent: &[usize], rare: &[usize]) -> Result<Picture> {
        let plane = self.size[0] * self.size[1];
        let mean = |channels: &[usize]| -> Vec<f32> {
            let at = |p: usize| channels.iter().map(|k| self.maps[k * plane + p]).sum::<f32>();
            (0..plane).map(|p| at(p) / channels.len().max(1) as f32).collect()
        };
        Ok(Picture {
            class: self.class,
            image: self.image,
            predicted: self.predicted,
            size: self.size,
            frequent: mean(frequent),
            rare: mean(rare),
            png: png(data, self.image)?,
        })
    }
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)
}

fn pictured(counts: &[usize], chosen: &[usize]) -> Vec<usize> {
    if !chosen.is_empty() {
        return chosen.to_vec();
    }
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|c| std::cmp::Reverse(counts[*c]));
    let tail = order.len().saturating_sub(PICTURES).max(1).min(order.len());
    order[..order.len().min(1)].iter().chain(&order[tail..]).copied().collect()
}

/// The first `each` images of every class, in the set's order.
fn first_of_each(labels: &[u32], classes: usize, each: usize) -> Vec<u32> {
    let mut taken = vec![0usize; classes];
    let mut take = |label: u32| {
        taken[label as usize] += 1;
        taken[label as usize] <= each
    };
    (0..labels.len() as u32).filter(|i| take(labels[*i as usize])).collect()
}

/// `first`, then every other index: a set's order has as many entries as images.
fn whole_order(first: &[u32], len: usize) -> Vec<u32> {
    let mut used = vec![false; len];
    first.iter().for_each(|i| used[*i as usize] = true);
    let rest = (0..len as u32).filter(|i| !used[*i as usize]);
    first.iter().copied().chain(rest).collect()
}

/// An image of the set as PNG in base64.
fn png(data: &Dataset, image: usize) -> Result<String> {
    let [c, h, w] = data.shape;
    let pixels = data.view(image)?;
    let at = |x: u32, y: u32| {
        let place = y as usize * w + x as usize;
        image::Rgb([0, 1, 2].map(|p| pixels[p.min(c - 1) * h * w + place]))
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(w as u32, h as u32, at)
        .write_to(&mut bytes, image::ImageFormat::Png)
        .map_err(|e| Error::Failure(format!("a picture for the report: {e}")))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_shots_or_thirds() {
        assert_eq!(groups(&[500, 50, 5]), (vec![0], vec![2]));
        assert_eq!(groups(&[500, 400, 300, 50, 60, 40]), (vec![0, 1], vec![3, 5]));
        assert_eq!(groups(&[10]), (vec![0], vec![0]));
    }

    #[test]
    fn channels_of_both_groups_belong_to_neither() {
        let (a, b) = ([9.0, 8.0, 0.0, 0.0, 0.0], [9.0, 0.0, 8.0, 0.0, 0.0]);
        assert_eq!(specific(&a, &b), Vec::<usize>::new());
        let (a, b) = ([9.0, 8.0, 0.0, 0.0, 1.0, 2.0], [9.0, 0.0, 8.0, 0.0, 1.0, 2.0]);
        assert_eq!((specific(&a, &b), specific(&b, &a)), (vec![1], vec![2]));
    }

    #[test]
    fn orders_hold_every_image_once() {
        let first = first_of_each(&[0, 0, 1, 0, 1], 2, 1);
        assert_eq!(first, [0, 2]);
        assert_eq!(whole_order(&first, 5), [0, 2, 1, 3, 4]);
        assert_eq!(pictured(&[5, 9, 1, 2, 3], &[]), [1, 4, 3, 2]);
        assert_eq!(pictured(&[5], &[]), [0]);
    }
}
