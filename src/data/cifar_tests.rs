//! CIFAR files made by hand: whole, cut short, mislabelled, packed.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// `count` records; record i has label i mod `classes` and pixels of value i.
fn records(label_bytes: usize, classes: usize, count: usize) -> Vec<u8> {
    let record = |i: usize| {
        let mut bytes = vec![99; label_bytes];
        bytes[label_bytes - 1] = (i % classes) as u8;
        bytes.extend([i as u8; PIXELS]);
        bytes
    };
    (0..count).flat_map(record).collect()
}

fn ten() -> Vec<(&'static str, Vec<u8>)> {
    let names = CIFAR10.train.iter().chain([&CIFAR10.test]);
    names.map(|name| (*name, records(1, 10, 12))).collect()
}

fn folder(dir: &Path, files: &[(&str, Vec<u8>)]) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

fn archive(path: &Path, files: &[(&str, Vec<u8>)]) {
    let mut tar =
        tar::Builder::new(GzEncoder::new(File::create(path).unwrap(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let inside = format!("cifar/{name}");
        tar.append_data(&mut header, inside, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

fn fails(place: &Path, classes: usize, words: &[&str]) {
    let text = read(place, classes).unwrap_err().to_string();
    assert!(words.iter().all(|w| text.contains(w)), "{text}");
}

#[test]
fn a_folder_its_parent_and_the_archive_give_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join(CIFAR10.folder);
    folder(&inner, &ten());
    let (train, test) = read(&inner, 10).unwrap();
    assert_eq!((train.len(), test.len()), (60, 12));
    assert_eq!(train.labels[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    assert_eq!(train.image(13), [1; PIXELS]);
    assert_eq!(train.classes, CIFAR10_NAMES);
    let same = |(a, b): (Dataset, Dataset)| a.pixels == train.pixels && b.labels == test.labels;
    assert!(same(read(dir.path(), 10).unwrap()));
    let packed = tempfile::tempdir().unwrap();
    let file = packed.path().join(CIFAR10.archive);
    archive(&file, &ten());
    assert!(same(read(&file, 10).unwrap()));
    assert!(same(read(packed.path(), 10).unwrap()));
}

#[test]
fn cifar100_takes_the_fine_label() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = vec![("train.bin", records(2, 100, 200)), ("test.bin", records(2, 100, 100))];
    folder(dir.path(), &files);
    let (train, _) = read(dir.path(), 100).unwrap();
    assert_eq!((train.labels[57], train.labels[157]), (57, 57));
    assert_eq!(train.classes[57], "57");
    let names: Vec<String> = (0..100).map(|i| format!("name {i}")).collect();
    files.push((CIFAR100.names, (names.join("\r\n") + "\n\n").into_bytes()));
    folder(dir.path(), &files);
    assert_eq!(read(dir.path(), 100).unwrap().1.classes, names);
}

#[test]
fn damaged_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let with = |name: &str, bytes: Vec<u8>| {
        folder(dir.path(), &ten());
        std::fs::write(dir.path().join(name), bytes).unwrap();
    };
    with("data_batch_3.bin", records(1, 10, 12)[..3073 * 4 + 7].to_vec());
    fails(
        dir.path(),
        10,
        &["data_batch_3.bin", "found 12299 bytes", "expected a multiple of 3073", "12292"],
    );
    with("test_batch.bin", Vec::new());
    fails(dir.path(), 10, &["test_batch.bin", "found 0 bytes"]);
    let mut label = records(1, 10, 12);
    label[3073 * 5] = 10;
    with("data_batch_2.bin", label);
    fails(dir.path(), 10, &["data_batch_2.bin", "record 5 has label 10", "0 to 9"]);
    folder(dir.path(), &ten());
    std::fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
    fails(dir.path(), 10, &["data_batch_4.bin is missing"]);
    with("data_batch_4.bin", vec![0; 3073 * 10_001]);
    fails(dir.path(), 10, &["data_batch_4.bin", "longer than the 30730000 bytes"]);
}

#[test]
fn wrong_places_are_named() {
    let dir = tempfile::tempdir().unwrap();
    fails(dir.path(), 10, &["no CIFAR-10 here", "cifar-10-batches-bin", "cifar-10-binary.tar.gz"]);
    std::fs::write(dir.path().join("data_batch_1"), b"").unwrap();
    fails(dir.path(), 10, &["binary version"]);
    let absent = read(&dir.path().join("x"), 10).unwrap_err();
    assert!(absent.exit_code() == 2 && absent.to_string().contains("no such file or folder"));
}

#[test]
fn damaged_archives_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.tar.gz");
    archive(&file, &ten());
    let whole = std::fs::read(&file).unwrap();
    fails(&file, 100, &["c.tar.gz: holds none of the files of CIFAR-100"]);
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    fails(&file, 10, &["c.tar.gz"]);
    std::fs::write(&file, b"not gzip").unwrap();
    fails(&file, 10, &["c.tar.gz: is not a whole .tar.gz"]);
    archive(&file, &ten()[..5]);
    fails(&file, 10, &["c.tar.gz: test_batch.bin is missing"]);
}

#[test]
fn a_lying_header_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("liar.tar.gz");
    let mut header = tar::Header::new_gnu();
    header.set_path("cifar/data_batch_1.bin").unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(1 << 40);
    header.set_cksum();
    let mut gz = GzEncoder::new(File::create(&file).unwrap(), Compression::fast());
    gz.write_all(header.as_bytes()).unwrap();
    gz.write_all(&records(1, 10, 1)).unwrap();
    gz.finish().unwrap();
    // The one record that is there is read; the other files are what is missing.
    fails(&file, 10, &["liar.tar.gz"]);
}

/// A .tar.gz of entries of any type and name; sizes are as long as the bytes.
fn odd_archive(path: &Path, entries: &[(&[u8], tar::EntryType, &[u8])]) {
    let mut gz = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // The crate's own setter refuses `..` and absolute names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        gz.write_all(header.as_bytes()).unwrap();
        gz.write_all(bytes).unwrap();
        gz.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]).unwrap();
    }
    gz.write_all(&[0; 1024]).unwrap();
    gz.finish().unwrap();
}

#[test]
fn names_and_links_in_an_archive_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let file = inner.join("odd.tar.gz");
    let regular = tar::EntryType::Regular;
    let whole = ten();
    let names: Vec<Vec<u8>> = whole
        .iter()
        .map(|(name, _)| format!("../../{name}").into_bytes())
        .chain([b"/data_batch_9.bin".to_vec()])
        .collect();
    let mut entries: Vec<(&[u8], tar::EntryType, &[u8])> =
        names.iter().zip(&whole).map(|(n, (_, b))| (n.as_slice(), regular, b.as_slice())).collect();
    entries.push((b"/etc/evenkeel", regular, b"text"));
    odd_archive(&file, &entries);
    let (train, test) = read(&file, 10).unwrap();
    assert_eq!((train.len(), test.len()), (60, 12));
    let there = |dir: &Path| std::fs::read_dir(dir).unwrap().flatten().count();
    assert_eq!((there(dir.path()), there(&inner)), (1, 1), "something was unpacked");
    // A link in the place of a file is no file.
    entries[2] = (b"data_batch_3.bin", tar::EntryType::Symlink, b"");
    odd_archive(&file, &entries);
    fails(&file, 10, &["data_batch_3.bin is missing"]);
}

#[test]
fn archives_that_swell_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bomb.tar.gz");
    let zeros = vec![0; CIFAR10.limit("data_batch_1.bin") as usize + 1];
    odd_archive(&file, &[(b"data_batch_1.bin", tar::EntryType::Regular, &zeros)]);
    fails(&file, 10, &["data_batch_1.bin", "longer than the 30730000 bytes"]);
    // A long name, which readers of archives keep in memory, and entries no one asked for.
    let names: &[(&[u8], tar::EntryType, &[u8])] = &[
        (b"././@LongLink", tar::EntryType::GNULongName, &zeros),
        (b"pax", tar::EntryType::XHeader, &zeros),
        (b"other", tar::EntryType::Regular, &zeros),
    ];
    odd_archive(&file, names);
    fails(&file, 10, &["holds none of the files of CIFAR-10"]);
    let many: Vec<_> = names.iter().cycle().take(9).copied().collect();
    odd_archive(&file, &many);
    fails(&file, 10, &["is not a whole .tar.gz archive"]);
}
