//! A checkpoint: any file is refused with an error or read, allocating no more than the file's size
//! asks for; what was read can be saved, and loads again as its own to the same bytes.
#![no_main]

use evenkeel::train::checkpoint::Checkpoint;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("in.safetensors");
    std::fs::write(&path, bytes).expect("a file");
    let Ok(read) = Checkpoint::load(&path) else { return };
    let written = read.to_bytes().expect("a checkpoint that was read can be written");
    std::fs::write(&path, &written).expect("a file");
    let again = Checkpoint::load_own(&path).expect("a checkpoint that was written can be read");
    assert_eq!(again.to_bytes().expect("and written"), written);
});
