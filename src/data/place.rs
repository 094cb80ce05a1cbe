//! Where an image's bytes lie: in a file of their own, or within a shard.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An image's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The file; of a member of a shard, the shard's path and the member's name, for messages.
    path: PathBuf,
    within: Option<Within>,
}

/// A range of a file.
#[derive(Clone, Debug, PartialEq)]
struct Within {
    shard: Arc<Path>,
    offset: u64,
    length: usize,
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Place { path, within: None }
    }
}

impl Place {
    /// `length` bytes of a shard from `offset` on, which the shard knows by `name`.
    pub(super) fn within(shard: &Arc<Path>, name: &str, offset: u64, length: usize) -> Self {
        let within = Some(Within { shard: shard.clone(), offset, length });
        Place { path: shard.join(name), within }
    }

    /// The file, or shard and name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes the image has.
    ///
    /// # Errors
    /// A file that is not there.
    pub fn length(&self) -> Result<u64> {
        match &self.within {
            Some(within) => Ok(within.length as u64),
            None => std::fs::metadata(&self.path)
                .map(|found| found.len())
                .map_err(|e| Error::io("read", &self.path, e)),
        }
    }

    /// The image's bytes.
    ///
    /// # Errors
    /// A file that cannot be read, or a shard that is shorter than it was.
    pub fn read(&self) -> Result<Vec<u8>> {
        let failed = |e| Error::io("read", &self.path, e);
        let Some(Within { shard, offset, length }) = &self.within else {
            return std::fs::read(&self.path).map_err(failed);
        };
        let mut file = File::open(shard).map_err(failed)?;
        file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
        let mut bytes = vec![0; *length];
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}
