//! From a listing of image files to training and test set.
//!
//! [`Listing`] (from a folder or list files) → the long-tailed choice, on labels alone → the chosen
//! files decoded by all processors, or kept as places if the set is streamed → [`Splits`]. What is not chosen is
//! never read.

use super::image_file::load_into;
use super::place::Place;
use super::streamed::{Files, readable};
use super::{
    DataSpec, Dataset, IMAGENET_MEAN, IMAGENET_STD, Splits, buffer, first_per_class, longtail,
};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Width and height without `image_size`.
pub(super) const DEFAULT_SIZE: usize = 32;

/// The files of a split.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Part {
    pub paths: Vec<Place>,
    pub labels: Vec<u32>,
}

impl Part {
    pub fn push(&mut self, place: impl Into<Place>, label: usize) {
        self.paths.push(place.into());
        self.labels.push(label as u32);
    }
}

/// The files of a data set.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listing {
    pub name: String,
    pub classes: Vec<String>,
    pub train: Part,
    pub test: Part,
    /// Of a validation folder beside training and test; mostly none.
    pub val: Part,
    /// The test images were chosen here, not by who made the folder.
    pub chosen: bool,
    /// Files left out already, and why.
    pub skipped: Vec<String>,
}

/// Chooses, and decodes or keeps the places.
pub(super) fn load(listing: Listing, spec: &DataSpec) -> Result<Splits> {
    let Listing { name, classes, train, test, val, chosen: by_seed, mut skipped } = listing;
    let chosen = longtail::choose(&train.labels, &classes, spec)?;
    let tested = first_per_class(&test.labels, classes.len(), spec.test_per_class);
    let size = spec.image_size.unwrap_or(DEFAULT_SIZE);
    let images = chosen.len() + tested.len() + val.labels.len();
    let streamed = spec.stream.holds(images, 3 * size * size);
    let mut read = |part: &Part, chosen: &[u32]| -> Result<(Dataset, Vec<u32>)> {
        let (pixels, kept) = match (streamed, spec.skip_bad) {
            (true, true) => (Vec::new(), readable(&part.paths, chosen, &mut skipped)),
            (true, false) => (Vec::new(), chosen.to_vec()),
            (false, skip_bad) => {
                let view = ([size, size], spec.margin());
                decode_all(&part.paths, chosen, view, skip_bad, &mut skipped)?
            }
        };
        let files = streamed.then(|| {
            let places = kept.iter().map(|i| part.paths[*i as usize].clone()).collect();
            Files { places: Arc::new(places), margin: spec.margin() }
        });
        let set = Dataset {
            name: name.clone(),
            classes: classes.clone(),
            shape: [3, size, size],
            pixels,
            files,
            labels: kept.iter().map(|i| part.labels[*i as usize]).collect(),
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        };
        Ok((set, kept))
    };
    let (train_set, indices) = read(&train, &chosen)?;
    let (test_set, _) = read(&test, &tested)?;
    let all: Vec<u32> = (0..val.labels.len() as u32).collect();
    let val_set = if all.is_empty() { None } else { Some(read(&val, &all)?.0) };
    let val = val_set.filter(|set| !set.is_empty());
    Ok(Splits { val, chosen: by_seed, ..Splits::new(train_set, test_set, indices, skipped) })
}

/// Images read together, such as a batch of `predict`.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The bytes of 3 × height × width of each kept image.
    pub pixels: Vec<u8>,
    /// Which of the files were kept.
    pub kept: Vec<u32>,
    /// Files left out, as `path: why`.
    pub skipped: Vec<String>,
}

/// Reads image files with all processors, as [`load_image`](super::load_image) does one, but resized to cover
/// `margin` times `size`; with `skip_bad`, files that cannot be read are left out.
///
/// # Errors
/// The first file that cannot be read; no memory.
pub fn load_images(
    paths: &[PathBuf],
    size: [usize; 2],
    margin: f64,
    skip_bad: bool,
) -> Result<Loaded> {
    let mut skipped = Vec::new();
    let all: Vec<u32> = (0..paths.len() as u32).collect();
    let places: Vec<Place> = paths.iter().cloned().map(Place::from).collect();
    let (pixels, kept) = decode_all(&places, &all, (size, margin), skip_bad, &mut skipped)?;
    Ok(Loaded { pixels, kept, skipped })
}

/// The pixels of the chosen files, and which of them were kept.
fn decode_all(
    paths: &[Place],
    chosen: &[u32],
    (size, margin): ([usize; 2], f64),
    skip_bad: bool,
    skipped: &mut Vec<String>,
) -> Result<(Vec<u8>, Vec<u32>)> {
    let bytes = 3 * size[0] * size[1];
    let mut pixels = buffer(chosen.len(), bytes)?;
    let queue = Mutex::new(pixels.chunks_exact_mut(bytes).zip(chosen).enumerate());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            // A statement of its own, so that the lock is free while the file is decoded.
            let next = locked(&queue).next();
            let Some((at, (place, i))) = next else { break };
            if let Err(e) = load_into(&paths[*i as usize], size, margin, place) {
                locked(&failures).push((at, e));
                if !skip_bad {
                    // No one needs the rest. Files before this one are already in other hands, so
                    // the first bad file is found however the threads take turns.
                    locked(&queue).by_ref().for_each(drop);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        for _ in 1..threads.min(chosen.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut failures = failures.into_inner().unwrap_or_else(|poison| poison.into_inner());
    failures.sort_by_key(|(at, _)| *at);
    if skip_bad {
        let bad: Vec<usize> = failures.iter().map(|(at, _)| *at).collect();
        skipped.extend(failures.into_iter().map(|(_, e)| e.to_string()));
        return Ok(without(pixels, chosen, bytes, &bad));
    }
    match failures.into_iter().next() {
        Some((_, e)) => Err(advised(e)),
        None => Ok((pixels, chosen.to_vec())),
    }
}

/// The lock, also after a panic of another thread, which the scope passes on anyway.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Removes the images at the places `bad` (ascending).
fn without(
    mut pixels: Vec<u8>,
    chosen: &[u32],
    bytes: usize,
    bad: &[usize],
) -> (Vec<u8>, Vec<u32>) {
    let mut kept = Vec::with_capacity(chosen.len() - bad.len());
    for (at, i) in chosen.iter().enumerate() {
        if bad.binary_search(&at).is_err() {
            pixels.copy_within(at * bytes..(at + 1) * bytes, kept.len() * bytes);
            kept.push(*i);
        }
    }
    pixels.truncate(kept.len() * bytes);
    (pixels, kept)
}

/// An error about an image, with the way around it.
pub(super) fn advised(e: Error) -> Error {
    match e {
        Error::Data { path, message } => {
            Error::Data { path, message: format!("{message} (--skip-bad leaves such files out)") }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    const VIEW: ([usize; 2], f64) = ([4, 4], 1.0);

    /// A folder of twelve images, of which 4 and 7 are damaged; the red value is the number.
    fn twelve() -> (tempfile::TempDir, Part) {
        let dir = tempfile::tempdir().unwrap();
        let mut part = Part::default();
        for i in 0..12u8 {
            let path = dir.path().join(format!("{i:02}.png"));
            RgbImage::from_pixel(4, 4, Rgb([i, 0, 0])).save(&path).unwrap();
            if i == 4 || i == 7 {
                std::fs::write(&path, b"broken").unwrap();
            }
            part.push(path, usize::from(i % 2));
        }
        (dir, part)
    }

    #[test]
    fn bad_files_are_left_out_on_request_and_named() {
        let (_dir, part) = twelve();
        let all: Vec<u32> = (0..12).rev().collect();
        let mut skipped = vec!["earlier".to_string()];
        let (pixels, kept) = decode_all(&part.paths, &all, VIEW, true, &mut skipped).unwrap();
        assert_eq!(kept, [11, 10, 9, 8, 6, 5, 3, 2, 1, 0]);
        let reds: Vec<u32> = pixels.chunks(48).map(|image| u32::from(image[0])).collect();
        assert_eq!(reds, kept);
        assert_eq!(skipped.len(), 3);
        assert!(skipped[1].contains("07.png: is neither") && skipped[2].contains("04.png"));
    }

    #[test]
    fn the_first_bad_file_stops_the_job() {
        let (_dir, part) = twelve();
        let all: Vec<u32> = (0..12).collect();
        for _ in 0..20 {
            let e = decode_all(&part.paths, &all, VIEW, false, &mut Vec::new())
                .unwrap_err()
                .to_string();
            assert!(e.contains("04.png") && e.contains("--skip-bad"), "{e}");
        }
        // A damaged file that the job does not need is not read.
        assert!(decode_all(&part.paths, &[0, 1, 2], VIEW, false, &mut Vec::new()).is_ok());
    }

    #[test]
    fn a_class_whose_images_are_all_bad_is_an_error() {
        let (_dir, mut part) = twelve();
        part.labels = (0..12).map(|i| u32::from(i == 4)).collect();
        let listing = Listing {
            name: "t".into(),
            classes: vec!["a".into(), "b".into()],
            test: Part { paths: part.paths[..1].to_vec(), labels: vec![0] },
            train: part,
            ..Listing::default()
        };
        let spec = DataSpec { imbalance: 1.0, skip_bad: true, ..DataSpec::default() };
        let e = load(listing, &spec).and_then(Splits::checked).unwrap_err().to_string();
        assert!(e.contains("`b` has no training images"), "{e}");
    }
}
