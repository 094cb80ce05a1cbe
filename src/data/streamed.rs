//! Sets whose images stay in their files: a set keeps places instead of pixels, and batches are read as they
//! are needed ([`stream`](super::stream)).
//!
//! The chosen files of a split → [`Files`], beside the labels in a [`Dataset`](super::Dataset) → a stream for
//! each epoch. What a test sees, and what a training without random crops sees, are the same bytes as in a set
//! that was loaded.

use super::image_file::{decode, load_into};
use super::place::Place;
use super::{DataSpec, parallel};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of decoded images above which `auto` streams a set: training, test and validation together.
const MOST_LOADED: u64 = 2 << 30;

/// Whether a set of image files is streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Streaming {
    /// If its decoded images take more than 2 GiB.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: all images are decoded once and kept.
    Never,
}

impl Streaming {
    /// The spellings used in recipes and flags.
    pub const NAMES: &[&str] = &["auto", "always", "never"];

    /// Whether `images` images of `bytes` bytes are streamed.
    pub(super) fn holds(self, images: usize, bytes: usize) -> bool {
        match self {
            Streaming::Auto => images as u64 * bytes as u64 > MOST_LOADED,
            Streaming::Always => true,
            Streaming::Never => false,
        }
    }
}

/// Where the images of a set lie, in the order of its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// The places.
    pub places: Arc<Vec<Place>>,
    /// The shorter side is resized to this many times the target before the centre is cut out.
    pub margin: f64,
}

impl Files {
    /// The files at `indices`, in that order.
    pub(super) fn select(&self, indices: &[u32]) -> Self {
        let places = indices.iter().map(|i| self.places[*i as usize].clone()).collect();
        Files { places: Arc::new(places), margin: self.margin }
    }

    /// The bytes of image `i` at `size` (height, width), as tests see it.
    pub(super) fn read(&self, i: usize, size: [usize; 2]) -> Result<Vec<u8>> {
        let mut out = vec![0; 3 * size[0] * size[1]];
        load_into(&self.places[i], size, self.margin, &mut out)?;
        Ok(out)
    }
}

impl DataSpec {
    /// How much larger than the network's image files are resized before its centre is cut out.
    pub fn margin(&self) -> f64 {
        let size = self.image_size.unwrap_or(super::files::DEFAULT_SIZE);
        self.resize_size.map_or(1.0, |n| n as f64 / size as f64)
    }
}

/// The images of `chosen` that can be decoded, the others named in `skipped`: what a set leaves out must be
/// known before its first epoch, so each file is decoded once beforehand.
pub(super) fn readable(places: &[Place], chosen: &[u32], skipped: &mut Vec<String>) -> Vec<u32> {
    let failures = parallel::each(chosen, |i| {
        let place = &places[*i as usize];
        place.read().and_then(|bytes| decode(place.path(), &bytes)).err()
    });
    let mut kept = Vec::with_capacity(chosen.len());
    for (i, failure) in chosen.iter().zip(failures) {
        match failure {
            None => kept.push(*i),
            Some(e) => skipped.push(e.to_string()),
        }
    }
    kept
}
