//! Which images a run is trained and tested on, by number and checksum: kept in its checkpoints, so
//! that a run isn't resumed on a folder that has changed since.

use crate::data::{Dataset, Splits};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is known of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    images: usize,
    /// CRC-32 of the pixels, of a streamed set of each file's name and length; then of the labels.
    crc32: u32,
}

impl Part {
    fn of(set: &Dataset) -> Result<Self> {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&set.pixels);
        for place in set.files.iter().flat_map(|files| files.places.iter()) {
            let name = place.path().file_name().unwrap_or_default();
            crc.update(name.as_encoded_bytes());
            crc.update(&place.length()?.to_le_bytes());
        }
        crc.update(bytemuck::cast_slice(&set.labels));
        Ok(Part { images: set.len(), crc32: crc.finalize() })
    }
}

/// The training and test set of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    train: Part,
    test: Part,
}

impl Fingerprint {
    /// Of what was loaded.
    ///
    /// # Errors
    /// A streamed set's file that is not there.
    pub fn of(splits: &Splits) -> Result<Self> {
        Ok(Fingerprint { train: Part::of(&splits.train)?, test: Part::of(&splits.test)? })
    }

    /// Compares with what the checkpoint `at` says, if it says something.
    ///
    /// # Errors
    /// Other images than the run began with.
    pub fn check(&self, kept: Option<&String>, at: &Path) -> Result<()> {
        let Some(kept) = kept else { return Ok(()) };
        let kept: Fingerprint = serde_json::from_str(kept)
            .map_err(|e| Error::data(at, format!("says nothing of its data: {e}")))?;
        for (what, then, now) in
            [("training", &kept.train, &self.train), ("test", &kept.test, &self.test)]
        {
            if then.images != now.images {
                return Err(changed(format!(
                    "{} {what} images are now {}",
                    then.images, now.images
                )));
            }
            if then.crc32 != now.crc32 {
                return Err(changed(format!("some of the {} {what} images differ", now.images)));
            }
        }
        Ok(())
    }
}

fn changed(how: String) -> Error {
    Error::Failure(format!(
        "the data has changed since the run began: {how}. Put it back as it was, or start a new run \
         (--init takes this one's parameters)"
    ))
}
