//! Data sets: from files or a seed to bytes in memory.
//!
//! [`DataSpec`] (what is asked for) → a source ([`cifar`](self), image folder, list files,
//! shards or the built-in synthetic set) → the long-tailed choice ([`longtail`]) → [`Splits`]: a training and a
//! test [`Dataset`] of NCHW bytes and labels. The trainer uploads both; [`sampler`] says in which
//! order an epoch visits the images. Nothing here knows a device.

pub mod audit;
mod cifar;
mod crop;
mod files;
mod folder;
mod image_file;
mod list;
pub mod longtail;
pub mod neighbours;
pub mod one_sided;
mod parallel;
mod place;
mod random;
pub mod sampler;
mod shards;
pub mod smote;
mod split;
pub mod stream;
mod streamed;
pub mod survey;
mod synthetic;

pub use files::{Loaded, load_images};
pub use folder::images_under;
pub use image_file::load_image;
pub use longtail::{Profile, SubsetRule};
pub use place::Place;
pub use shards::Packed;
pub use streamed::{Files, Streaming};

use crate::error::{Error, Result, unknown};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Mean per channel that the long-tailed line of work normalises CIFAR images by, on a scale to 1.
pub const CIFAR_MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
/// Standard deviation per channel that goes with [`CIFAR_MEAN`].
pub const CIFAR_STD: [f32; 3] = [0.2023, 0.1994, 0.2010];

/// ImageNet's mean per channel, as torchvision's networks expect it.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation per channel that goes with [`IMAGENET_MEAN`].
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Names that [`DataSpec::dataset`] can have.
const DATASETS: &[&str] = &["synthetic", "cifar10", "cifar100", "folder", "list", "shards"];

/// Images and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// For titles, such as `CIFAR-10`.
    pub name: String,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Channels, height and width of an image.
    pub shape: [usize; 3],
    /// Image after image, each channel by channel, row by row; none of a streamed set.
    pub pixels: Vec<u8>,
    /// Where a streamed set's images lie.
    pub files: Option<Files>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// What to subtract from each channel, on a scale to 1.
    pub mean: [f32; 3],
    /// What to divide each channel by after that.
    pub std: [f32; 3],
}

impl Dataset {
    /// Images in the set.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of an image.
    pub fn image_bytes(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes of image `i`.
    ///
    /// # Panics
    /// If there are not so many, or the set is streamed.
    pub fn image(&self, i: usize) -> &[u8] {
        let bytes = self.image_bytes();
        &self.pixels[i * bytes..(i + 1) * bytes]
    }

    /// The bytes of image `i`, of a streamed set read from its file.
    ///
    /// # Errors
    /// A file that cannot be read.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn view(&self, i: usize) -> Result<Cow<'_, [u8]>> {
        let [_, h, w] = self.shape;
        match &self.files {
            None => Ok(Cow::Borrowed(self.image(i))),
            Some(files) => Ok(Cow::Owned(files.read(i, [h, w])?)),
        }
    }

    /// Images of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        longtail::tally(&self.labels, self.classes.len())
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn select(&self, indices: &[u32]) -> Dataset {
        let held = if self.files.is_some() { 0 } else { indices.len() };
        let mut pixels = Vec::with_capacity(held * self.image_bytes());
        for i in &indices[..held] {
            pixels.extend_from_slice(self.image(*i as usize));
        }
        Dataset {
            name: self.name.clone(),
            classes: self.classes.clone(),
            labels: indices.iter().map(|i| self.labels[*i as usize]).collect(),
            pixels,
            files: self.files.as_ref().map(|files| files.select(indices)),
            ..*self
        }
    }
}

/// What a job trains on and is tested on.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// The training set after the long-tailed cut.
    pub train: Dataset,
    /// The test set.
    pub test: Dataset,
    /// Images for neither: to calibrate probabilities on. A validation folder, or held out.
    pub val: Option<Dataset>,
    /// Training images of each class.
    pub counts: Vec<usize>,
    /// Which images of the source the training images are, in order.
    pub indices: Vec<u32>,
    /// The test images were chosen from a folder by seed.
    pub chosen: bool,
    /// Files left out, as `path: why`.
    pub skipped: Vec<String>,
}

impl Splits {
    fn new(train: Dataset, test: Dataset, indices: Vec<u32>, skipped: Vec<String>) -> Self {
        Splits {
            counts: train.class_counts(),
            train,
            test,
            val: None,
            chosen: false,
            indices,
            skipped,
        }
    }

    /// Both sets have images, and each class some to train on.
    fn checked(self) -> Result<Self> {
        if let Some(empty) = self.counts.iter().position(|n| *n == 0) {
            return Err(Error::Failure(format!(
                "{}: class `{}` has no training images left",
                self.train.name, self.train.classes[empty]
            )));
        }
        if self.test.is_empty() {
            return Err(Error::Failure(format!(
                "{}: no test images; every class needs at least two images, or a test set",
                self.test.name
            )));
        }
        Ok(self)
    }
}

/// Which data, and how long-tailed. The default is the job of the README's first command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// `synthetic`, `cifar10`, `cifar100`, `folder`, `list` or `shards`.
    pub dataset: String,
    /// The folder, archive or list; none for `synthetic`.
    pub data: Option<PathBuf>,
    /// Largest class count over smallest; 1 leaves the source as it is.
    pub imbalance: f64,
    /// How class counts fall.
    pub profile: Profile,
    /// Classes of the synthetic set (default 10).
    pub classes: Option<usize>,
    /// Images of the largest class: how many the synthetic set makes, at most how many of another
    /// source are kept.
    pub train_per_class: Option<usize>,
    /// Test images of each class: how many the synthetic set makes, at most how many of another
    /// source are kept.
    pub test_per_class: Option<usize>,
    /// Width and height of the images (default 32); files are resized by their shorter side and
    /// cropped. CIFAR is always 32.
    pub image_size: Option<usize>,
    /// Shorter side that files are resized to before the centre is cut out, in pixels (default: image_size).
    pub resize_size: Option<usize>,
    /// Whether files are read when they are needed, instead of once.
    pub stream: Streaming,
    /// Seed of the choice of images; 0 in the reference.
    pub subset_seed: u32,
    /// Leaves unreadable files out, instead of stopping.
    pub skip_bad: bool,
    /// Share of each class's training images that is kept back to calibrate probabilities on.
    pub holdout: f64,
    /// Seed of the synthetic images, and of the choice of test and held-out images.
    pub seed: u64,
    /// Which images of a class are kept.
    pub subset: SubsetRule,
}

impl Default for DataSpec {
    fn default() -> Self {
        DataSpec {
            dataset: "synthetic".into(),
            data: None,
            imbalance: 100.0,
            profile: Profile::Exp,
            classes: None,
            train_per_class: None,
            test_per_class: None,
            image_size: None,
            resize_size: None,
            stream: Streaming::Auto,
            subset_seed: 0,
            skip_bad: false,
            holdout: 0.0,
            seed: 0,
            subset: SubsetRule::Shuffled,
        }
    }
}

impl DataSpec {
    fn validate(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::usage(text));
        if !DATASETS.contains(&self.dataset.as_str()) {
            return Err(unknown("data set", &self.dataset, DATASETS));
        }
        if !(self.imbalance.is_finite() && self.imbalance >= 1.0) {
            return wrong(format!("imbalance is {}; it must be at least 1", self.imbalance));
        }
        if !(0.0..1.0).contains(&self.holdout) {
            return wrong(format!(
                "holdout is {}; it must be at least 0 and below 1",
                self.holdout
            ));
        }
        for (name, value, least, most) in [
            ("classes", self.classes, 2, 1_000_000),
            ("train_per_class", self.train_per_class, 1, 100_000_000),
            ("test_per_class", self.test_per_class, 1, 100_000_000),
            ("image_size", self.image_size, 8, 4096),
        ] {
            if let Some(n) = value.filter(|n| !(least..=most).contains(n)) {
                return wrong(format!("{name} is {n}; it must be between {least} and {most}"));
            }
        }
        if self.classes.is_some() && self.dataset != "synthetic" {
            return wrong(format!(
                "classes can be chosen for the synthetic set only; {} has its own",
                self.dataset
            ));
        }
        let files = ["folder", "list", "shards"].contains(&self.dataset.as_str());
        if !files && self.stream == Streaming::Always {
            return wrong(format!(
                "stream = \"always\" is for sets of image files (folder, list, shards), not {}",
                self.dataset
            ));
        }
        if let Some(n) = self.resize_size {
            let least = self.image_size.unwrap_or(files::DEFAULT_SIZE);
            if !files {
                return wrong(format!("resize_size is about image files, not {}", self.dataset));
            }
            if n < least {
                return wrong(format!("resize_size is {n}, less than image_size, {least}"));
            }
        }
        match self.image_size {
            Some(n) if n != 32 && self.dataset.starts_with("cifar") => {
                wrong(format!("image_size is {n}, but the images of {} are 32 × 32", self.dataset))
            }
            _ => Ok(()),
        }
    }

    fn place(&self) -> Result<&Path> {
        self.data.as_deref().ok_or_else(|| {
            Error::usage(format!(
                "data set {} needs its files: give their place with --data PATH",
                self.dataset
            ))
        })
    }
}

/// Loads what `spec` asks for.
///
/// # Errors
/// A wrong request (exit code 2); missing, damaged or mislabelled files; a class without images.
pub fn load(spec: &DataSpec) -> Result<Splits> {
    spec.validate()?;
    let splits = match spec.dataset.as_str() {
        "cifar10" => cut(cifar::read(spec.place()?, 10)?, spec)?,
        "cifar100" => cut(cifar::read(spec.place()?, 100)?, spec)?,
        "folder" => files::load(folder::list(spec.place()?, spec.seed)?, spec)?,
        "list" => files::load(list::list(spec.place()?, spec.skip_bad)?, spec)?,
        "shards" => files::load(shards::list(spec.place()?)?, spec)?,
        _ => synthetic::load(spec)?,
    };
    let splits = if spec.holdout > 0.0 { split::hold_out(splits, spec)? } else { splits };
    splits.checked()
}

/// Whether `dir` is a set that `evenkeel data pack` made.
pub fn is_packed(dir: &Path) -> bool {
    dir.join(shards::CLASSES).is_file()
}

/// The long-tailed part of a source that is in memory.
fn cut((train, test): (Dataset, Dataset), spec: &DataSpec) -> Result<Splits> {
    let indices = longtail::choose(&train.labels, &train.classes, spec)?;
    let tested = first_per_class(&test.labels, test.classes.len(), spec.test_per_class);
    Ok(Splits::new(train.select(&indices), test.select(&tested), indices, Vec::new()))
}

/// The first `most` of each class, or all as stored.
fn first_per_class(labels: &[u32], classes: usize, most: Option<usize>) -> Vec<u32> {
    match most {
        Some(n) => longtail::subset(labels, &vec![n; classes], SubsetRule::First, 0),
        None => (0..labels.len() as u32).collect(),
    }
}

/// Room for so many images, or an error that says what was needed.
fn buffer(images: usize, bytes: usize) -> Result<Vec<u8>> {
    let mut room = Vec::new();
    let total = images.checked_mul(bytes);
    if total.is_none_or(|n| room.try_reserve_exact(n).is_err()) {
        return Err(Error::Failure(format!(
            "not enough memory for {images} images of {bytes} bytes ({:.1} GiB): ask for smaller or fewer images (--image-size, --train-per-class)",
            images as f64 * bytes as f64 / (1u64 << 30) as f64
        )));
    }
    room.resize(total.unwrap_or(0), 0);
    Ok(room)
}

#[cfg(test)]
mod tests;
