//! CIFAR-10 and CIFAR-100 in their official binary layout.
//!
//! A folder of `.bin` files, or the official `.tar.gz` read as a stream → records of label bytes and
//! 3,072 pixel bytes (red, green, blue planes of 32 × 32) → training and test [`Dataset`].

use super::{CIFAR_MEAN, CIFAR_STD, Dataset};
use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Pixel bytes of an image.
const PIXELS: usize = 3 * 32 * 32;
/// More than any list of class names takes.
const MAX_NAMES: u64 = 1 << 16;
/// More than either archive holds unpacked (186 MB); a stream that goes on is not followed.
const MAX_ARCHIVE: u64 = 1 << 28;

/// What the two sets differ in.
struct Layout {
    name: &'static str,
    classes: usize,
    /// Bytes before the pixels; the last one is the label (CIFAR-100: coarse, then fine).
    label_bytes: usize,
    train: &'static [&'static str],
    test: &'static str,
    names: &'static str,
    folder: &'static str,
    archive: &'static str,
    /// Records of the largest official file.
    most_records: u64,
}

const CIFAR10: Layout = Layout {
    name: "CIFAR-10",
    classes: 10,
    label_bytes: 1,
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    most_records: 10_000,
};

const CIFAR100: Layout = Layout {
    name: "CIFAR-100",
    classes: 100,
    label_bytes: 2,
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    most_records: 50_000,
};

const CIFAR10_NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

impl Layout {
    fn record(&self) -> usize {
        self.label_bytes + PIXELS
    }

    /// The wanted file of this name.
    fn wants(&self, name: &str) -> Option<&'static str> {
        self.train.iter().copied().chain([self.test, self.names]).find(|known| *known == name)
    }

    /// More bytes than the official file has are not read.
    fn limit(&self, file: &str) -> u64 {
        if file == self.names { MAX_NAMES } else { self.most_records * self.record() as u64 }
    }
}

/// Training and test set of CIFAR-10 (`classes` 10) or CIFAR-100 (100, fine labels). `place` is the
/// folder of the binary files, the folder around it, or the archive. Files may hold fewer records
/// than the official ones.
///
/// # Errors
/// A file that is missing, empty, cut short or too long; a label out of range.
pub(super) fn read(place: &Path, classes: usize) -> Result<(Dataset, Dataset)> {
    let layout = if classes == 100 { &CIFAR100 } else { &CIFAR10 };
    let (place, files) = match locate(place, layout)? {
        Place::Folder(dir) => (dir.clone(), read_folder(&dir, layout)?),
        Place::Archive(file) => (file.clone(), read_archive(&file, layout)?),
    };
    let names = class_names(files.get(layout.names), layout);
    let set = |wanted: &[&str]| {
        let mut set = Dataset {
            name: layout.name.into(),
            classes: names.clone(),
            shape: [3, 32, 32],
            pixels: Vec::new(),
            labels: Vec::new(),
            files: None,
            mean: CIFAR_MEAN,
            std: CIFAR_STD,
        };
        for file in wanted {
            let Some(bytes) = files.get(file) else {
                return Err(missing(&place, file, layout));
            };
            parse(&place.join(file), bytes, layout, &mut set)?;
        }
        Ok(set)
    };
    Ok((set(layout.train)?, set(&[layout.test])?))
}

enum Place {
    Folder(PathBuf),
    Archive(PathBuf),
}

fn locate(place: &Path, layout: &Layout) -> Result<Place> {
    if place.is_file() {
        return Ok(Place::Archive(place.to_path_buf()));
    }
    if !place.is_dir() {
        return Err(Error::usage(format!("{}: no such file or folder (--data)", place.display())));
    }
    let has_any = |dir: &PathBuf| {
        layout.train.iter().chain([&layout.test]).any(|file| dir.join(file).is_file())
    };
    if let Some(dir) = [place.to_path_buf(), place.join(layout.folder)].into_iter().find(has_any) {
        return Ok(Place::Folder(dir));
    }
    let archive = place.join(layout.archive);
    if archive.is_file() {
        return Ok(Place::Archive(archive));
    }
    let hint = match ["data_batch_1", "cifar-10-batches-py", "cifar-100-python"]
        .iter()
        .any(|python| place.join(python).exists())
    {
        true => "; this looks like the version for Python: get the binary version",
        false => "",
    };
    Err(Error::usage(format!(
        "{}: no {} here: expected {}, the folder {} or {}{hint}",
        place.display(),
        layout.name,
        layout.train[0],
        layout.folder,
        layout.archive
    )))
}

fn missing(place: &Path, file: &str, layout: &Layout) -> Error {
    Error::data(
        place,
        format!(
            "{file} is missing; {} consists of {}, {}",
            layout.name,
            layout.train.join(", "),
            layout.test
        ),
    )
}

type Files = BTreeMap<&'static str, Vec<u8>>;

fn read_folder(dir: &Path, layout: &Layout) -> Result<Files> {
    let mut files = Files::new();
    for name in layout.train.iter().copied().chain([layout.test, layout.names]) {
        let path = dir.join(name);
        match File::open(&path) {
            Ok(file) => {
                let bytes = read_bounded(file, layout.limit(name), &path)?;
                files.insert(name, bytes);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", &path, e)),
        }
    }
    Ok(files)
}

/// Reads the wanted entries, whichever folder of the archive they lie in. They go to memory alone, so
/// that no name or link in the archive leads anywhere; and entries are taken raw, since the extensions
/// that hold long names are otherwise read whole, however long they are.
fn read_archive(path: &Path, layout: &Layout) -> Result<Files> {
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let broken =
        |e: std::io::Error| Error::data(path, format!("is not a whole .tar.gz archive: {e}"));
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(MAX_ARCHIVE));
    let mut files = Files::new();
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let entry = entry.map_err(broken)?;
        let inside = entry.path().map_err(broken)?.into_owned();
        let name = inside.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if let Some(known) = layout.wants(name).filter(|_| entry.header().entry_type().is_file()) {
            let bytes = read_bounded(entry, layout.limit(known), &path.join(known))?;
            files.insert(known, bytes);
        }
    }
    if files.is_empty() {
        return Err(Error::data(path, format!("holds none of the files of {}", layout.name)));
    }
    Ok(files)
}

/// Reads to the end, growing with what is there, so that a header's size is never believed.
fn read_bounded(from: impl Read, limit: u64, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::data(path, format!("is longer than the {limit} bytes it may have")));
    }
    Ok(bytes)
}

/// Appends the records of a file.
fn parse(path: &Path, bytes: &[u8], layout: &Layout, set: &mut Dataset) -> Result<()> {
    let record = layout.record();
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let whole = (bytes.len() / record).max(1);
        return Err(Error::data(
            path,
            format!(
                "is cut short or not a {} file: found {} bytes, expected a multiple of {record}, such as {} or the official {}",
                layout.name,
                bytes.len(),
                whole * record,
                layout.limit(layout.test).min(layout.most_records * record as u64)
            ),
        ));
    }
    for (number, record) in bytes.chunks_exact(record).enumerate() {
        let (labels, pixels) = record.split_at(layout.label_bytes);
        let label = labels[layout.label_bytes - 1];
        if usize::from(label) >= layout.classes {
            return Err(Error::data(
                path,
                format!(
                    "record {number} has label {label}; {} has labels 0 to {}",
                    layout.name,
                    layout.classes - 1
                ),
            ));
        }
        set.labels.push(u32::from(label));
        set.pixels.extend_from_slice(pixels);
    }
    Ok(())
}

/// Names from the file, one a line, if it has as many as there are classes.
fn class_names(file: Option<&Vec<u8>>, layout: &Layout) -> Vec<String> {
    let text = String::from_utf8_lossy(file.map_or(&[][..], Vec::as_slice));
    let names: Vec<String> =
        text.lines().map(|l| l.trim().to_string()).filter(|l| !l.is_empty()).collect();
    match layout.classes {
        n if names.len() == n => names,
        10 => CIFAR10_NAMES.map(String::from).into(),
        n => (0..n).map(|c| c.to_string()).collect(),
    }
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;
