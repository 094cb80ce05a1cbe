//! `evenkeel reproduce` as its user meets it: what is missing is named with its place, and a part of a benchmark
//! is trained, gone on with and shown.

#[path = "common/command.rs"]
mod command;

use command::{Ran, evenkeel};
use image::{Rgb, RgbImage};
use std::path::Path;
use tempfile::{TempDir, tempdir};

fn reproduce(name: &str, place: &Path, out: &Path, more: &[&str]) -> Ran {
    let [place, out] = [place, out].map(|p| p.to_str().expect("a path"));
    evenkeel(&[&["reproduce", name, "--data", place, "--out", out], more].concat())
}

/// Three classes of 12, 6 and 3 training images and 4 test images each, as ImageNet-LT names them.
fn part() -> TempDir {
    let dir = tempdir().expect("a folder");
    for (list, folder, counts) in [("train", "train", [12, 6, 3]), ("test", "val", [4; 3])] {
        let mut lines = String::new();
        for (label, count) in counts.into_iter().enumerate() {
            let class = ["n01", "n02", "n03"][label];
            std::fs::create_dir_all(dir.path().join(folder).join(class)).expect("a folder");
            for i in 0..count {
                let name = format!("{folder}/{class}/{i}.JPEG");
                let shade = |x: u32, y: u32| (40 * label as u32 + 3 * x + 2 * y + 5 * i) as u8;
                let image = RgbImage::from_fn(48, 40, |x, y| Rgb([shade(x, y), shade(y, x), 90]));
                let path = dir.path().join(&name);
                image.save_with_format(path, image::ImageFormat::Jpeg).expect("a JPEG file");
                lines += &format!("{name} {label}\n");
            }
        }
        let path = dir.path().join(format!("ImageNet_LT_{list}.txt"));
        std::fs::write(path, lines).expect("a list");
    }
    dir
}

const TINY: &str = "--model small --image-size 32 --resize-size 36 --batch-size 7 --epochs 2";

#[test]
fn a_part_of_a_benchmark_is_trained_and_used_again() {
    let (part, out) = (part(), tempdir().expect("a folder"));
    let tiny: Vec<&str> = TINY.split(' ').chain(["--partial", "--json"]).collect();
    let ran = reproduce("imagenet-lt", part.path(), out.path(), &tiny).fine();
    assert_eq!(ran.err.matches(": done").count(), 2, "{}", ran.err);
    let told = &ran.lines()[0];
    assert_eq!(told["benchmark"]["size"], serde_json::json!([3, 21, 12]));
    for (row, name) in told["rows"].as_array().expect("rows").iter().zip(["ce", "nbn"]) {
        assert_eq!(row["recipe"], format!("imagenet-lt/{name}"));
        assert!(row["few"]["mean"].is_number() && row["seconds"]["mean"].as_f64() > Some(0.0));
        assert!(row["devices"][0].is_string(), "{row}");
        let differs = row["differs"].to_string();
        assert!(differs.contains("21 of 115846 training images"), "{differs}");
    }
    // Once more: nothing is left to do.
    let last = out.path().join("imagenet-lt/nbn/seed-0/checkpoint/last.safetensors");
    let before = std::fs::read(&last).expect("a checkpoint");
    let again = reproduce("imagenet-lt", part.path(), out.path(), &tiny).fine();
    assert_eq!(again.err.matches(": was there").count(), 2, "{}", again.err);
    assert_eq!(std::fs::read(&last).expect("a checkpoint"), before);
    let table: Vec<&str> = TINY.split(' ').chain(["--partial", "--table"]).collect();
    let table = reproduce("imagenet-lt", part.path(), out.path(), &table).fine();
    for word in ["ImageNet-LT: 3 classes", "few", "time", "trained on"] {
        assert!(table.out.contains(word), "{word}: {}", table.out);
    }
}

#[test]
fn a_packed_benchmark_is_known_too() {
    let (part, out) = (part(), tempdir().expect("a folder"));
    let packed = out.path().join("packed");
    let [from, to] = [part.path(), &packed].map(|p| p.to_str().expect("a path"));
    evenkeel(&["data", "pack", from, to]).fine();
    let tiny: Vec<&str> = TINY.split(' ').chain(["--partial", "--methods", "nbn"]).collect();
    let ran = reproduce("imagenet-lt", Path::new(to), &out.path().join("runs"), &tiny).fine();
    assert!(ran.out.contains("21 training and 12 test images"), "{}", ran.out);
}

#[test]
fn what_is_missing_is_named_with_its_place() {
    let (part, out) = (part(), tempdir().expect("a folder"));
    let none = evenkeel(&["reproduce", "places-lt"]);
    none.failed(2, &["--data PATH", "Places_LT_train.txt", "Places365-Standard"]);
    let empty = tempdir().expect("a folder");
    let found = |name: &str, place: &Path, more: &[&str]| reproduce(name, place, out.path(), more);
    let lists = ["no iNaturalist18_train.txt, no iNaturalist18_val.txt", "train_val2018"];
    found("inaturalist2018", empty.path(), &[]).failed(2, &lists);
    found("imagenet-lt", &empty.path().join("no"), &[]).failed(2, &["no such folder", "n01440764"]);
    let fewer = ["21 of 115846 training images", "--partial", "ILSVRC 2012"];
    found("imagenet-lt", part.path(), &[]).failed(1, &fewer);
    std::fs::remove_file(part.path().join("train/n02/3.JPEG")).expect("a file");
    let gone = ["1 of the images", "n02", "3.JPEG", "ImageNet_LT_train.txt:16"];
    found("imagenet-lt", part.path(), &[]).failed(1, &gone);
    found("cifar100-lt", empty.path(), &[]).failed(2, &["train.bin", "test.bin: test images"]);
    let left: Vec<_> = std::fs::read_dir(out.path()).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_wrong_name_or_flag_is_answered() {
    let (empty, out) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    let found = |name: &str, more: &[&str]| reproduce(name, empty.path(), out.path(), more);
    found("imagenet-tl", &[]).failed(2, &["did you mean `imagenet-lt`?"]);
    found("cifar10-lt", &["--methods", "nbm"]).failed(2, &["did you mean `nbn`?"]);
    found("cifar10-lt", &["--dataset", "folder"]).failed(2, &["takes no --dataset"]);
}
