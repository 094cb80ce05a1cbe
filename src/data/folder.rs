//! An image folder: one sub-folder per class.
//!
//! `DIR/{train,test|val}/<class>/*` or `DIR/<class>/*` → sorted names → [`Listing`]. Sub-folders of
//! a class are not entered, and told; names that begin with a dot are ignored.

use super::files::{Listing, Part};
use super::split::{Purpose, apart, tested};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Extensions that are read, in any case.
const READ: &[&str] = &["jpg", "jpeg", "png"];
/// Extensions of images that are not read: worth a word, unlike other files.
const NOT_READ: &[&str] = &["webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jxl"];
/// Folders of test images, and of images to calibrate on, by preference.
pub(super) const TEST: &[&str] = &["test", "val", "valid", "validation"];

/// Lists a folder.
///
/// Without `train` and `test` folders (`val` stands in for a missing `test`) of each class of two or
/// more one image in five is for testing, rounded, at least one, chosen by `seed` and the files'
/// names; a class of one image is not tested. With `train`, `test` and `val` the last is
/// [`Listing::val`].
///
/// # Errors
/// A folder without class folders or with one only, a class folder without images, a test class that
/// has no training folder.
pub(super) fn list(dir: &Path, seed: u64) -> Result<Listing> {
    if !dir.is_dir() {
        return Err(Error::usage(format!("{}: no such folder (--data)", dir.display())));
    }
    let mut listing = Listing { name: folder_name(dir), ..Listing::default() };
    let train = dir.join("train");
    if has_folders(&train)? {
        let parts: Vec<PathBuf> = TEST.iter().map(|n| dir.join(n)).filter(|p| p.is_dir()).collect();
        let [test, others @ ..] = &parts[..] else {
            return Err(Error::usage(format!(
                "{}: there is train/, but neither test/ nor val/ beside it; add one, or give {} to have one image in five kept for testing",
                dir.display(),
                train.display()
            )));
        };
        let classes = class_files(&train, &mut listing.skipped)?;
        let names: Vec<String> = classes.keys().cloned().collect();
        for (label, files) in classes.into_values().enumerate() {
            files.into_iter().for_each(|f| listing.train.push(f, label));
        }
        listing.test = of_classes(test, &train, &names, &mut listing.skipped)?;
        if let Some(val) = others.first() {
            listing.val = of_classes(val, &train, &names, &mut listing.skipped)?;
        }
        let read = [&train].into_iter().chain(&parts[..parts.len().min(2)]);
        let read: Vec<&PathBuf> = read.collect();
        for other in entries(dir)?.folders.iter().filter(|f| !read.contains(f)) {
            let names = read.iter().map(|p| folder_name(p)).collect::<Vec<_>>().join("/, ");
            listing.skipped.push(format!("{}: only {names}/ are read here", other.display()));
        }
        listing.classes = names;
    } else {
        let classes = class_files(dir, &mut listing.skipped)?;
        for (label, (class, files)) in classes.iter().enumerate() {
            split(class, files, label, seed, &mut listing);
        }
        listing.chosen = true;
        listing.classes = classes.into_keys().collect();
    }
    match &listing.classes[..] {
        [only] => Err(Error::data(
            dir,
            format!(
                "there is one class only, `{only}`; a classifier needs two, each in a folder of its own"
            ),
        )),
        _ => Ok(listing),
    }
}

/// Whether `dir` is a folder of folders. (A class may be called "train"; it then holds images.)
pub(super) fn has_folders(dir: &Path) -> Result<bool> {
    Ok(dir.is_dir() && !entries(dir)?.folders.is_empty())
}

/// The last part of a path, for a title.
pub(super) fn folder_name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    full.file_name().map_or_else(|| "images".into(), |n| n.to_string_lossy().into_owned())
}

fn split(class: &str, files: &[PathBuf], label: usize, seed: u64, listing: &mut Listing) {
    let full: Vec<String> = files
        .iter()
        .map(|f| format!("{class}/{}", f.file_name().unwrap_or_default().to_string_lossy()))
        .collect();
    let names = full.iter().map(|n| n.as_bytes());
    let marked = apart(names, tested(files.len()), seed, Purpose::Test);
    for (file, test) in files.iter().zip(marked) {
        let part = if test { &mut listing.test } else { &mut listing.train };
        part.push(file.clone(), label);
    }
}

/// The images of a test or validation folder, class by class of the training folder.
fn of_classes(
    dir: &Path,
    train: &Path,
    classes: &[String],
    skipped: &mut Vec<String>,
) -> Result<Part> {
    let found = class_files(dir, skipped)?;
    if let Some(odd) = found.keys().find(|class| !classes.contains(class)) {
        return Err(Error::data(
            &dir.join(odd),
            format!("the class has no folder in {}", train.display()),
        ));
    }
    let mut part = Part::default();
    for (label, class) in classes.iter().enumerate() {
        found.get(class).into_iter().flatten().for_each(|f| part.push(f.clone(), label));
    }
    Ok(part)
}

/// Class name → its image files, both sorted.
fn class_files(dir: &Path, skipped: &mut Vec<String>) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let Entries { folders, files } = entries(dir)?;
    let loose = files.iter().filter(|f| has_extension(f, READ)).count();
    if folders.is_empty() {
        let found = match loose {
            0 => "no class folders".to_string(),
            n => format!("{n} images, but no class folders"),
        };
        return Err(Error::data(
            dir,
            format!(
                "{found}: expected <class>/*.jpg, or train/<class>/*.jpg and test/<class>/*.jpg"
            ),
        ));
    }
    if loose > 0 {
        skipped.push(format!("{}: {loose} images in no class folder", dir.display()));
    }
    let mut classes = BTreeMap::new();
    for class in &folders {
        let inside = entries(class)?;
        let (images, others): (Vec<_>, Vec<_>) =
            inside.files.into_iter().partition(|f| has_extension(f, READ));
        if images.is_empty() {
            let mut text = format!(
                "the class has no JPEG or PNG image ({} other files, {} folders); add some, or remove the folder",
                others.len(),
                inside.folders.len()
            );
            if folders.len() == 1 && !inside.folders.is_empty() {
                text = format!(
                    "holds no image, only folders; if these are the classes, give {}",
                    class.display()
                );
            }
            return Err(Error::data(class, text));
        }
        let unread = others.iter().filter(|f| has_extension(f, NOT_READ));
        skipped.extend(unread.map(|f| format!("{}: only JPEG and PNG are read", f.display())));
        let deeper = inside.folders.iter();
        skipped.extend(deeper.map(|f| format!("{}: a folder inside a class", f.display())));
        let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        classes.insert(name, images);
    }
    Ok(classes)
}

/// The JPEG and PNG files of a folder and the folders in it, sorted; links to folders are not
/// followed, so that there is an end.
///
/// # Errors
/// A folder that cannot be read.
pub fn images_under(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![dir.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let inside = entries(&folder)?;
        found.extend(inside.files.into_iter().filter(|f| has_extension(f, READ)));
        folders.extend(inside.folders.into_iter().filter(|f| !f.is_symlink()));
    }
    found.sort();
    Ok(found)
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
        // What a Mac puts into an archive beside the images.
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" {
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
    use super::super::place::Place;
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
        let short =
            |p: &Place| p.path().strip_prefix(dir).unwrap().to_string_lossy().replace('\\', "/");
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
        let found = list(dir.path(), 0).unwrap();
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
    fn test_is_preferred_over_val_which_is_for_calibration() {
        let train = ["train/a/1.png", "train/b/1.png"];
        let dir = tree(&[&train[..], &["test/a/2.png", "val/b/3.png", "old/a/4.png"]].concat());
        let found = list(dir.path(), 0).unwrap();
        assert_eq!(names(&found.test, dir.path()), ["test/a/2.png"]);
        assert_eq!(names(&found.val, dir.path()), ["val/b/3.png"]);
        assert_eq!((found.val.labels, found.chosen), (vec![1], false));
        assert!(found.skipped[0].contains("old: only train/, test/, val/ are read"));
        let dir = tree(&[&train[..], &["validation/a/2.png"]].concat());
        let found = list(dir.path(), 0).unwrap();
        assert_eq!(names(&found.test, dir.path()), ["validation/a/2.png"]);
        assert!(found.val.paths.is_empty() && found.skipped.is_empty());
    }

    #[test]
    fn a_plain_folder_is_split_by_seed() {
        let files: Vec<String> = (0..13).map(|i| format!("many/{i}.jpg")).collect();
        let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
        files.extend(["train/a.jpg", "two/a.jpg", "two/b.jpg", "__MACOSX/x", "loose.png"]);
        files.extend(["two/inside/c.jpg"]);
        let dir = tree(&files);
        let found = list(dir.path(), 0).unwrap();
        assert_eq!(found.classes, ["many", "train", "two"]);
        assert_eq!(found.train.labels, [&[0; 10][..], &[1, 2]].concat());
        assert_eq!((&found.test.labels[..], found.chosen), (&[0, 0, 0, 2][..], true));
        let mut all = names(&found.train, dir.path());
        all.extend(names(&found.test, dir.path()));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 16);
        assert_eq!(found, list(dir.path(), 0).unwrap());
        assert!((1..5).any(|seed| list(dir.path(), seed).unwrap().test != found.test));
        let [loose, inside] = &found.skipped[..] else { panic!("{:?}", found.skipped) };
        assert!(loose.contains("1 images in no class") && inside.contains("inside: a folder"));
    }

    #[test]
    fn images_are_found_at_any_depth() {
        let dir = tree(&["b/2.png", "b/c/1.JPG", "a.jpeg", "b/x.txt", ".git/3.png"]);
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path(), dir.path().join("b/again")).unwrap();
        let paths = images_under(dir.path()).unwrap();
        let paths = paths.into_iter().map(Place::from).collect();
        let part = Part { paths, labels: Vec::new() };
        assert_eq!(names(&part, dir.path()), ["a.jpeg", "b/2.png", "b/c/1.JPG"]);
    }

    #[test]
    fn wrong_folders_are_named() {
        let fails = |files: &[&str], words: &[&str]| {
            let dir = tree(files);
            let text = list(dir.path(), 0).unwrap_err().to_string();
            assert!(words.iter().all(|w| text.contains(w)), "{text}");
        };
        fails(&["a/1.png", "b/notes.txt"], &["b: the class has no JPEG", "1 other files"]);
        fails(&["a/1.png", "b/deep/1.png"], &["b: the class has no JPEG", "1 folders"]);
        fails(
            &["all/a/1.png", "all/b/1.png"],
            &["all: holds no image", "the classes, give", "all"],
        );
        fails(&["1.png", "2.JPG", "x"], &["2 images, but no class folders"]);
        fails(&["notes.txt"], &["no class folders: expected"]);
        fails(&["a/1.png"], &["one class only, `a`"]);
        fails(&["train/a/1.png"], &["neither test/ nor val/"]);
        fails(&["train/a/1.png", "test/b/1.png"], &["b: the class has no folder in", "train"]);
        fails(&["train/a/1.png", "test/a/x"], &["a: the class has no JPEG"]);
        let missing = list(Path::new("/no/such/place"), 0).unwrap_err();
        assert!(missing.exit_code() == 2 && missing.to_string().contains("no such folder"));
    }
}
