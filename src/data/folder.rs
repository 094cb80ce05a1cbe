//! An image folder: one sub-folder per class.
//!
//! `DIR/{train,test|val}/<class>/*` or `DIR/<class>/*` → sorted names → [`Listing`]. Sub-folders of
//! a class are not entered; names that begin with a dot are ignored.

use super::files::{Listing, Part};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Extensions that are read, in any case.
const READ: &[&str] = &["jpg", "jpeg", "png"];
/// Extensions of images that are not read: worth a word, unlike other files.
const NOT_READ: &[&str] = &["webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jxl"];
/// Without a test folder, one image in this many is for testing.
const TEST_EVERY: usize = 5;

/// Lists a folder.
///
/// Without `train` and `test` folders each class is split by its sorted names: of five images the
/// second is for testing (numbers 1, 6, 11, … counted from 0), the others for training. So a class
/// of two images is tested with one of them, and a class of one is not tested.
///
/// # Errors
/// A folder without class folders, a class folder without images, a test class that has no
/// training folder.
pub(super) fn list(dir: &Path) -> Result<Listing> {
    if !dir.is_dir() {
        return Err(Error::usage(format!("{}: no such folder (--data)", dir.display())));
    }
    let mut listing = Listing { name: folder_name(dir), ..Listing::default() };
    let train = dir.join("train");
    // A class may be called "train"; it then holds images, not folders.
    if train.is_dir() && !entries(&train)?.folders.is_empty() {
        let Some(test) = ["test", "val"].map(|n| dir.join(n)).into_iter().find(|p| p.is_dir())
        else {
            return Err(Error::usage(format!(
                "{}: there is train/, but neither test/ nor val/ beside it; add one, or give --data {} to have every {TEST_EVERY}th image kept for testing",
                dir.display(),
                train.display()
            )));
        };
        let classes = class_files(&train, &mut listing.skipped)?;
        let tested = class_files(&test, &mut listing.skipped)?;
        for (label, (class, files)) in classes.iter().enumerate() {
            files.iter().for_each(|f| listing.train.push(f.clone(), label));
            let test_files = tested.get(class).into_iter().flatten();
            test_files.for_each(|f| listing.test.push(f.clone(), label));
        }
        if let Some(odd) = tested.keys().find(|class| !classes.contains_key(*class)) {
            return Err(Error::data(
                &test.join(odd),
                format!("the class has no folder in {}", train.display()),
            ));
        }
        listing.classes = classes.into_keys().collect();
    } else {
        let classes = class_files(dir, &mut listing.skipped)?;
        for (label, files) in classes.values().enumerate() {
            split(files, label, &mut listing.train, &mut listing.test);
        }
        listing.classes = classes.into_keys().collect();
    }
    Ok(listing)
}

/// The last part of a path, for a title.
pub(super) fn folder_name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    full.file_name().map_or_else(|| "images".into(), |n| n.to_string_lossy().into_owned())
}

fn split(files: &[PathBuf], label: usize, train: &mut Part, test: &mut Part) {
    for (i, file) in files.iter().enumerate() {
        let part = if i % TEST_EVERY == 1 { &mut *test } else { &mut *train };
        part.push(file.clone(), label);
    }
}

/// Class name → its image files, both sorted.
fn class_files(dir: &Path, skipped: &mut Vec<String>) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut classes = BTreeMap::new();
    for class in entries(dir)?.folders {
        let inside = entries(&class)?;
        let (images, others): (Vec<_>, Vec<_>) =
            inside.files.into_iter().partition(|f| has_extension(f, READ));
        if images.is_empty() {
            return Err(Error::data(
                &class,
                format!(
                    "the class has no JPEG or PNG image ({} other files, {} folders); add some, or remove the folder",
                    others.len(),
                    inside.folders.len()
                ),
            ));
        }
        let unread = others.iter().filter(|f| has_extension(f, NOT_READ));
        skipped.extend(unread.map(|f| format!("{}: only JPEG and PNG are read", f.display())));
        let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        classes.insert(name, images);
    }
    if classes.is_empty() {
        return Err(Error::data(
            dir,
            "no class folders: expected <class>/*.jpg, or train/<class>/*.jpg and test/<class>/*.jpg",
        ));
    }
    Ok(classes)
}

fn has_extension(file: &Path, known: &[&str]) -> bool {
    let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
    known.iter().any(|k| k.eq_ignore_ascii_case(extension))
}

/// What lies in a folder, sorted.
struct Entries {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

fn entries(dir: &Path) -> Result<Entries> {
    let failed = |e| Error::io("read", dir, e);
    let mut found = Entries { folders: Vec::new(), files: Vec::new() };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // `is_dir` follows links, which folders of borrowed images often are.
        let path = entry.path();
        if path.is_dir() { found.folders.push(path) } else { found.files.push(path) }
    }
    found.folders.sort();
    found.files.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes empty files (and their folders).
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        dir
    }

    fn names(part: &Part, dir: &Path) -> Vec<String> {
        let short = |p: &PathBuf| p.strip_prefix(dir).unwrap().to_string_lossy().replace('\\', "/");
        part.paths.iter().map(short).collect()
    }

    #[test]
    fn train_and_test_folders() {
        let dir = tree(&[
            "train/oak/2.JPG",
            "train/oak/10.jpeg",
            "train/ash/1.png",
            "train/ash/.hidden.png",
            "train/ash/notes.txt",
            "train/ash/x.webp",
            "val/oak/1.Png",
            ".git/config",
        ]);
        let found = list(dir.path()).unwrap();
        assert_eq!(found.classes, ["ash", "oak"]);
        assert_eq!(
            names(&found.train, dir.path()),
            ["train/ash/1.png", "train/oak/10.jpeg", "train/oak/2.JPG"]
        );
        assert_eq!(found.train.labels, [0, 1, 1]);
        assert_eq!(
            (names(&found.test, dir.path()), found.test.labels),
            (vec!["val/oak/1.Png".into()], vec![1])
        );
        assert_eq!(found.skipped.len(), 1);
        assert!(found.skipped[0].contains("x.webp: only JPEG and PNG"));
        assert_eq!(found.name, folder_name(dir.path()));
    }

    #[test]
    fn test_is_preferred_over_val() {
        let dir = tree(&["train/a/1.png", "test/a/2.png", "val/a/3.png"]);
        assert_eq!(names(&list(dir.path()).unwrap().test, dir.path()), ["test/a/2.png"]);
    }

    #[test]
    fn a_plain_folder_is_split_by_name() {
        let files: Vec<String> = (0..7).map(|i| format!("many/{i}.jpg")).collect();
        let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
        files.extend(["train/a.jpg", "two/a.jpg", "two/b.jpg"]);
        let dir = tree(&files);
        let found = list(dir.path()).unwrap();
        assert_eq!(found.classes, ["many", "train", "two"]);
        assert_eq!(names(&found.test, dir.path()), ["many/1.jpg", "many/6.jpg", "two/b.jpg"]);
        assert_eq!(found.train.labels, [0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(found, list(dir.path()).unwrap());
    }

    #[test]
    fn wrong_folders_are_named() {
        let fails = |files: &[&str], words: &[&str]| {
            let dir = tree(files);
            let text = list(dir.path()).unwrap_err().to_string();
            assert!(words.iter().all(|w| text.contains(w)), "{text}");
        };
        fails(&["a/1.png", "b/notes.txt"], &["b: the class has no JPEG", "1 other files"]);
        fails(&["a/deep/1.png"], &["a: the class has no JPEG", "1 folders"]);
        fails(&["1.png"], &["no class folders"]);
        fails(&["train/a/1.png"], &["neither test/ nor val/"]);
        fails(&["train/a/1.png", "test/b/1.png"], &["b: the class has no folder in", "train"]);
        fails(&["train/a/1.png", "test/a/x"], &["a: the class has no JPEG"]);
        let missing = list(Path::new("/no/such/place")).unwrap_err();
        assert!(missing.exit_code() == 2 && missing.to_string().contains("no such folder"));
    }
}
