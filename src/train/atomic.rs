//! Files that are whole or not there: bytes → temporary file beside the target → sync → rename.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A complete, synced file under a temporary name beside its target. Dropped before
/// [`Staged::commit`], it is removed.
#[derive(Debug)]
pub struct Staged {
    temp: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Writes `bytes` to `.<name>.tmp` in the folder of `target`, and syncs it.
    ///
    /// # Errors
    /// A folder that does not exist or cannot be written, a full disk; nothing is left behind.
    pub fn write(target: &Path, bytes: &[u8]) -> Result<Self> {
        let failed = |e| Error::io("write", target, e);
        let Some(name) = target.file_name() else {
            return Err(failed(io::Error::from(io::ErrorKind::InvalidInput)));
        };
        let mut temp = std::ffi::OsString::from(".");
        temp.push(name);
        temp.push(".tmp");
        let temp = target.with_file_name(temp);
        // A leftover of a killed process; `create_new` below then never writes through a link.
        match fs::remove_file(&temp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&temp).map_err(failed)?;
        let staged = Self { temp, target: target.to_path_buf() };
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(staged)
    }

    /// Renames the file to its target and syncs the folder.
    ///
    /// # Errors
    /// A target that cannot be replaced; it stays as it was.
    pub fn commit(self) -> Result<()> {
        fs::rename(&self.temp, &self.target).map_err(|e| Error::io("replace", &self.target, e))?;
        sync_folder(&self.target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit there is nothing left under this name.
        let _ = fs::remove_file(&self.temp);
    }
}

/// Writes a file whole or not at all: temporary name in the same folder, sync, rename, sync of
/// the folder. A failure leaves the old file as it was, and no temporary one.
///
/// # Errors
/// A file that cannot be written or replaced: full disk, read-only folder, ...
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    Staged::write(path, bytes)?.commit()
}

/// Makes renames in the folder of `path` last through a power cut, where the system can do so.
pub fn sync_folder(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = fs::File::open(folder).and_then(|f| f.sync_all());
        // Some network and user-space file systems cannot sync a folder; the file itself is safe.
        let ignored = [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];
        synced
            .or_else(|e| if ignored.contains(&e.kind()) { Ok(()) } else { Err(e) })
            .map_err(|e| Error::io("sync", folder, e))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/c.safetensors");
        assert!(write_atomic(&missing, b"new").unwrap_err().to_string().contains("none"));
        // A folder in the place of the target: the write succeeds, the rename fails.
        let target = folder.path().join("c");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), b"old").unwrap();
        assert!(write_atomic(&target, b"new").is_err());
        assert_eq!(fs::read(target.join("old")).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A leftover of a killed process is no obstacle.
        fs::write(folder.path().join(".d.tmp"), b"half").unwrap();
        write_atomic(&folder.path().join("d"), b"whole").unwrap();
        assert_eq!(fs::read(folder.path().join("d")).unwrap(), b"whole");
    }
}
