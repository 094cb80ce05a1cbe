//! List files: the bytes up to a NUL are the training list, those after it the test list, beside two
//! images that a line may name.
#![no_main]

use evenkeel::data::{self, DataSpec};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tempfile::TempDir;

/// A picture of one pixel (PNG).
const PIXEL: &[u8] = include_bytes!("../seeds/pixel.png");

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b.png"] {
        std::fs::write(folder.path().join(name), PIXEL).expect("a file");
    }
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    let (train, test) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    std::fs::write(FOLDER.path().join("train.txt"), train).expect("a file");
    std::fs::write(FOLDER.path().join("test.txt"), test).expect("a file");
    let spec = DataSpec {
        dataset: "list".into(),
        data: Some(FOLDER.path().to_path_buf()),
        imbalance: f64::from(first & 3) + 1.0,
        skip_bad: first & 4 != 0,
        image_size: Some(8),
        ..DataSpec::default()
    };
    let Ok(splits) = data::load(&spec) else { return };
    assert_eq!(splits.train.pixels.len(), splits.train.labels.len() * 3 * 8 * 8);
    assert!(splits.train.labels.iter().all(|l| (*l as usize) < splits.train.classes.len()));
});
