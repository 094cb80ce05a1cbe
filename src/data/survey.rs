//! What lies in a folder of images, without reading their pixels.
//!
//! A spec → listing (as [`load`](super::load) makes it) → counts of each class and the sizes in the
//! files' headers → [`Survey`], from which `evenkeel train FOLDER` chooses a recipe.

use super::files::Listing;
use super::place::Place;
use super::{DataSpec, first_per_class, folder, longtail};
use crate::error::Result;
use std::path::{Path, PathBuf};

/// Most files whose size is looked up.
const SAMPLE: usize = 2000;

/// Where the test images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestFrom {
    /// A folder of their own.
    Folder,
    /// One in five images of each class, chosen by the data seed.
    Chosen,
}

/// A folder of images in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// The folder's name.
    pub name: String,
    /// Class names, sorted.
    pub classes: Vec<String>,
    /// Training images of each class, those to be held out included.
    pub train: Vec<usize>,
    /// Test images of each class.
    pub test: Vec<usize>,
    /// Images of a validation folder.
    pub val: usize,
    /// How testing and training were told apart.
    pub test_from: TestFrom,
    /// Length of the images' shorter side in pixels: smallest, median, largest. `None` if no
    /// header could be read.
    pub sides: Option<[usize; 3]>,
    /// What is not read, as `path: why`.
    pub skipped: Vec<String>,
}

impl Survey {
    /// Training images in all.
    pub fn images(&self) -> usize {
        self.train.iter().sum()
    }

    /// Largest class over smallest.
    pub fn ratio(&self) -> f64 {
        longtail::ratio(&self.train)
    }
}

/// The folder whose class folders are meant: `dir/train` where that stands alone, else `dir`.
///
/// # Errors
/// A folder that cannot be read.
pub fn root(dir: &Path) -> Result<PathBuf> {
    let train = dir.join("train");
    let tested = folder::TEST.iter().any(|n| dir.join(n).is_dir());
    Ok(if !tested && folder::has_folders(&train)? { train } else { dir.to_path_buf() })
}

/// Looks through the folder of `spec` (data set `folder`).
///
/// # Errors
/// Those of [`load`](super::load), but for images that turn out to be damaged.
pub fn survey(spec: &DataSpec) -> Result<Survey> {
    spec.validate()?;
    let Listing { name, classes, train, test, val, chosen, skipped } =
        folder::list(spec.place()?, spec.seed)?;
    let kept = longtail::choose(&train.labels, &classes, spec)?;
    let tested = first_per_class(&test.labels, classes.len(), spec.test_per_class);
    let count = |labels: &[u32], kept: &[u32]| {
        let kept: Vec<u32> = kept.iter().map(|i| labels[*i as usize]).collect();
        longtail::tally(&kept, classes.len())
    };
    let step = kept.len().div_ceil(SAMPLE).max(1);
    let sample = kept.iter().step_by(step).map(|i| &train.paths[*i as usize]);
    Ok(Survey {
        train: count(&train.labels, &kept),
        test: count(&test.labels, &tested),
        val: val.labels.len(),
        test_from: if chosen { TestFrom::Chosen } else { TestFrom::Folder },
        sides: sides(sample),
        name,
        skipped,
        classes,
    })
}

fn sides<'a>(files: impl Iterator<Item = &'a Place>) -> Option<[usize; 3]> {
    spread(files.filter_map(short_side).collect())
}

/// The smallest, median and largest.
pub(super) fn spread<T: Ord + Copy>(mut all: Vec<T>) -> Option<[T; 3]> {
    all.sort_unstable();
    Some([*all.first()?, all[all.len() / 2], *all.last()?])
}

/// From the file's header; a damaged file is met when it is read.
fn short_side(place: &Place) -> Option<usize> {
    let reader = image::ImageReader::open(place.path()).ok()?.with_guessed_format().ok()?;
    let (width, height) = reader.into_dimensions().ok()?;
    Some(width.min(height) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    #[test]
    fn a_folder_in_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for (class, n) in [("cat", 11u32), ("emu", 1)] {
            std::fs::create_dir(dir.path().join(class)).unwrap();
            for i in 0..n {
                let path = dir.path().join(class).join(format!("{i}.png"));
                RgbImage::new(90 - i, 50 + i).save(path).unwrap();
            }
        }
        std::fs::write(dir.path().join("cat/bad.jpg"), "no image").unwrap();
        let spec = DataSpec {
            dataset: "folder".into(),
            data: Some(dir.path().into()),
            imbalance: 1.0,
            ..DataSpec::default()
        };
        let found = survey(&spec).unwrap();
        assert_eq!((&found.train[..], &found.test[..]), (&[10, 1][..], &[2, 0][..]));
        assert_eq!((found.images(), found.ratio(), found.val), (11, 10.0, 0));
        assert_eq!(found.test_from, TestFrom::Chosen);
        let [least, median, most] = found.sides.unwrap();
        assert!(least == 50 && (50..=60).contains(&median) && most <= 60, "{:?}", found.sides);
        let fewer = survey(&DataSpec { train_per_class: Some(4), ..spec }).unwrap();
        assert_eq!(fewer.train, [4, 1]);
    }

    #[test]
    fn a_training_folder_alone_is_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("train/cat")).unwrap();
        assert_eq!(root(dir.path()).unwrap(), dir.path().join("train"));
        std::fs::create_dir(dir.path().join("val")).unwrap();
        assert_eq!(root(dir.path()).unwrap(), dir.path());
    }
}
