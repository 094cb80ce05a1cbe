//! CIFAR: by its first byte, the input is every file of a folder, a tar archive, or a gzip stream.
#![no_main]

use evenkeel::data::{self, DataSpec};
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// The files of a folder, by names that both sets look for.
const FILES: [&str; 8] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
    "train.bin",
    "test.bin",
];

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a file");
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let archive = FOLDER.path().join("archive");
    let place = match first >> 1 & 3 {
        0 => {
            let end = rest.len().min(2 * 3074);
            for file in FILES {
                write(&FOLDER.path().join(file), &rest[..end]);
            }
            FOLDER.path().to_path_buf()
        }
        1 => {
            let mut gz = GzEncoder::new(Vec::new(), Compression::none());
            gz.write_all(rest).expect("memory");
            write(&archive, &gz.finish().expect("memory"));
            archive
        }
        _ => {
            write(&archive, rest);
            archive
        }
    };
    let spec = DataSpec {
        dataset: if first & 1 == 0 { "cifar10" } else { "cifar100" }.into(),
        data: Some(place),
        imbalance: 1.0,
        ..DataSpec::default()
    };
    let Ok(splits) = data::load(&spec) else { return };
    assert_eq!(splits.train.pixels.len(), splits.train.labels.len() * 3072);
});
