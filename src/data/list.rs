//! List files, as ImageNet-LT, Places-LT and iNaturalist are given: one image a line.
//!
//! `DIR/train.txt` and `DIR/test.txt` (or `…_train.txt`, `…_val.txt`) of `relative/path label`
//! lines → [`Listing`].

use super::files::{Listing, Part};
use super::folder::folder_name;
use super::place::Place;
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Lists the images that the list files in a folder name, paths being relative to the folder.
///
/// The lists are `train.txt` and `test.txt`, or both with the same prefix (`ImageNet_LT_train.txt`);
/// `val.txt` stands in for a missing `test.txt`. Of several training lists, give the wanted one
/// itself as `place`. A label is the last word of its line, the path is all before it.
///
/// # Errors
/// Missing lists; a line without a path or label, a label that is no number, a missing image (left
/// out with `skip_bad`), a class without training images: with the list's name and the line.
pub(super) fn list(place: &Path, skip_bad: bool) -> Result<Listing> {
    let (train_list, test_list) = find_lists(place)?;
    let dir = train_list.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut skipped = Vec::new();
    let train = read(&train_list, &dir, skip_bad, &mut skipped)?;
    let classes = class_count(&train_list, &train)?;
    let test = read(&test_list, &dir, skip_bad, &mut skipped)?;
    if let Some((line, _, label)) = test.iter().find(|(_, _, label)| *label as usize >= classes) {
        return Err(Error::data(
            &test_list,
            format!(
                "line {line}: class {label} has no training images; {} has the classes 0 to {}",
                train_list.display(),
                classes - 1
            ),
        ));
    }
    let part = |lines: Vec<Line>| Part {
        labels: lines.iter().map(|(_, _, label)| *label).collect(),
        paths: lines.into_iter().map(|(_, path, _)| path.into()).collect(),
    };
    let (train, test) = (part(train), part(test));
    let classes = class_names(&train, classes);
    Ok(Listing { name: folder_name(&dir), classes, train, test, skipped, ..Listing::default() })
}

/// Line number, image, label.
type Line = (usize, PathBuf, u32);

/// The training and the test list.
fn find_lists(place: &Path) -> Result<(PathBuf, PathBuf)> {
    let train = if place.is_file() { place.to_path_buf() } else { training_list(place)? };
    let name = train.file_name().unwrap_or_default().to_string_lossy();
    let Some(prefix) = name.strip_suffix("train.txt") else {
        return Err(Error::usage(format!(
            "{}: a training list is called train.txt or ends in _train.txt",
            place.display()
        )));
    };
    let beside = |end: &str| train.with_file_name(format!("{prefix}{end}"));
    match ["test.txt", "val.txt"].map(beside).into_iter().find(|p| p.is_file()) {
        Some(test) => Ok((train, test)),
        None => Err(Error::usage(format!(
            "{}: expected {prefix}test.txt or {prefix}val.txt beside it",
            train.display()
        ))),
    }
}

fn training_list(dir: &Path) -> Result<PathBuf> {
    if !dir.is_dir() {
        return Err(Error::usage(format!("{}: no such folder or list (--data)", dir.display())));
    }
    let plain = dir.join("train.txt");
    if plain.is_file() {
        return Ok(plain);
    }
    let failed = |e| Error::io("read", dir, e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().ends_with("_train.txt")) {
            found.push(path);
        }
    }
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::usage(format!(
            "{}: no training list; expected train.txt or one that ends in _train.txt",
            dir.display()
        ))),
        [first, ..] => Err(Error::usage(format!(
            "{}: {} training lists; give one of them itself, such as --data {}",
            dir.display(),
            found.len(),
            first.display()
        ))),
    }
}

fn read(list: &Path, dir: &Path, skip_bad: bool, skipped: &mut Vec<String>) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(list).map_err(|e| Error::io("read", list, e))?;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
        let wrong = |why: String| Error::data(list, format!("line {number}: {why}"));
        if line.is_empty() {
            continue;
        }
        let Some((image, label)) = line.rsplit_once(char::is_whitespace) else {
            return Err(wrong(format!("expected `path label`, found only `{line}`")));
        };
        let label = label.parse::<u32>().map_err(|_| {
            wrong(format!("the label `{label}` is not a whole number from 0, as in `path label`"))
        })?;
        let path = dir.join(image.trim_end());
        if path.is_file() {
            lines.push((number, path, label));
        } else if skip_bad {
            skipped.push(format!(
                "{}: no such image ({}:{number})",
                path.display(),
                list.display()
            ));
        } else {
            return Err(wrong(format!(
                "no such image: {} (--skip-bad leaves such lines out)",
                path.display()
            )));
        }
    }
    if lines.is_empty() {
        return Err(Error::data(list, "names no image: expected lines of `path label`"));
    }
    Ok(lines)
}

/// The number of classes; every label below it occurs. A set, because a wrong label of 4 billion
/// must not become an allocation.
fn class_count(list: &Path, lines: &[Line]) -> Result<usize> {
    let labels: BTreeSet<u32> = lines.iter().map(|(_, _, label)| *label).collect();
    match labels.iter().enumerate().find(|(i, label)| *i != **label as usize) {
        None => Ok(labels.len()),
        Some((missing, next)) => {
            let line = lines.iter().find(|(_, _, label)| label == next).map_or(0, |(n, ..)| *n);
            Err(Error::data(
                list,
                format!(
                    "class {missing} has no training images, but line {line} has class {next}; labels count from 0 without gaps"
                ),
            ))
        }
    }
}

/// The names of the folders that the classes' images lie in, if each class has one of its own;
/// otherwise the labels.
fn class_names(train: &Part, classes: usize) -> Vec<String> {
    let mut folders: Vec<Option<&OsStr>> = vec![None; classes];
    let folder =
        |place: &Place| place.path().parent().and_then(Path::file_name).map(OsStr::to_owned);
    let owned: Vec<_> = train.paths.iter().map(folder).collect();
    let agree = owned.iter().zip(&train.labels).all(|(name, label)| {
        let seen = &mut folders[*label as usize];
        let same = seen.is_none() || *seen == name.as_deref();
        *seen = name.as_deref();
        same && name.is_some()
    });
    let distinct: BTreeSet<_> = folders.iter().collect();
    if agree && distinct.len() == classes {
        return folders.iter().flatten().map(|n| n.to_string_lossy().into_owned()).collect();
    }
    (0..classes).map(|c| c.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the lists given (name, text), and images a/1.jpg, a/2.jpg, b/1.jpg, `c d/1.jpg`.
    fn data(lists: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for image in ["a/1.jpg", "a/2.jpg", "b/1.jpg", "c d/1.jpg"] {
            let path = dir.path().join(image);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        for (name, text) in lists {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn lists_are_read() {
        let train = "a/1.jpg 0\r\nb/1.jpg\t1\n\na/2.jpg  0\nc d/1.jpg 2";
        let dir = data(&[("train.txt", train), ("test.txt", "b/1.jpg 1\n"), ("val.txt", "bad")]);
        let found = list(dir.path(), false).unwrap();
        assert_eq!(found.train.labels, [0, 1, 0, 2]);
        assert_eq!(found.train.paths[3].path(), dir.path().join("c d/1.jpg"));
        assert_eq!(found.test.paths, [Place::from(dir.path().join("b/1.jpg"))]);
        assert_eq!(found.classes, ["a", "b", "c d"]);
    }

    #[test]
    fn lists_with_a_prefix_and_by_name() {
        let lists =
            [("X_LT_train.txt", "a/1.jpg 0\nb/1.jpg 0\na/2.jpg 1"), ("X_LT_val.txt", "a/1.jpg 0")];
        let dir = data(&lists);
        let found = list(dir.path(), false).unwrap();
        assert_eq!(found.classes, ["0", "1"]);
        std::fs::write(dir.path().join("Y_train.txt"), "a/1.jpg 0").unwrap();
        let several = list(dir.path(), false).unwrap_err().to_string();
        assert!(several.contains("2 training lists") && several.contains("X_LT_train.txt"));
        assert_eq!(list(&dir.path().join("X_LT_train.txt"), false).unwrap(), found);
    }

    #[test]
    fn wrong_lines_are_named() {
        let fails = |train: &str, test: &str, words: &[&str]| {
            let dir = data(&[("train.txt", train), ("test.txt", test)]);
            let text = list(dir.path(), false).unwrap_err().to_string();
            assert!(words.iter().all(|w| text.contains(w)), "{text}");
        };
        let good = "a/1.jpg 0\nb/1.jpg 1\n";
        fails("a/1.jpg 0\nb/1.jpg\n", good, &["train.txt: line 2", "only `b/1.jpg`"]);
        fails("a/1.jpg zero", good, &["line 1", "`zero` is not a whole number"]);
        fails("a/1.jpg -1", good, &["line 1", "`-1`"]);
        fails("a/1.jpg 0\na/9.jpg 0", good, &["line 2: no such image", "9.jpg", "--skip-bad"]);
        fails("a/1.jpg 1", good, &["class 0 has no training images", "line 1"]);
        fails(
            "a/1.jpg 0\nb/1.jpg 4294967295",
            good,
            &["class 1 has no", "line 2 has class 4294967295"],
        );
        fails(good, "a/1.jpg 0\nb/1.jpg 2", &["test.txt: line 2: class 2", "classes 0 to 1"]);
        fails(good, "\n\n", &["test.txt: names no image"]);
        let dir = data(&[("train.txt", good)]);
        assert!(list(dir.path(), false).unwrap_err().to_string().contains("test.txt or val.txt"));
        let none = list(data(&[]).path(), false).unwrap_err();
        assert!(none.exit_code() == 2 && none.to_string().contains("no training list"));
        assert_eq!(list(Path::new("/no/such"), false).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn missing_images_can_be_left_out() {
        let dir = data(&[("train.txt", "a/1.jpg 0\na/9.jpg 0"), ("test.txt", "a/2.jpg 0")]);
        let found = list(dir.path(), true).unwrap();
        assert_eq!((found.train.labels.len(), found.skipped.len()), (1, 1));
        assert!(
            found.skipped[0].contains("9.jpg: no such image") && found.skipped[0].contains(":2)")
        );
    }
}
