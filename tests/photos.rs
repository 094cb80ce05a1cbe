//! A folder of photos, from the tree to calibrated probabilities and the model card, as its owner
//! meets it; and what is said of trees that are none.

#[path = "common/command.rs"]
mod command;

use command::evenkeel;
use evenkeel::train::calibration::{BINS, Calibration};
use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A picture of `class`: a colour that overlaps with the next class's, by a spread from `i`.
fn photo(path: &Path, class: u32, i: u32) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let noise =
        |x: u32, y: u32| ((x * 7 + y * 13 + i * 31).wrapping_mul(2_654_435_761) >> 26) as u8;
    let level = (60 * class + (i * 37) % 100) as u8;
    let pixel = |x, y| image::Rgb([level, 255 - level, noise(x, y)]);
    image::RgbImage::from_fn(20 + i % 3, 18, pixel).save(path).expect("a picture");
}

/// Class folders with so many pictures each.
fn tree(place: &Path, counts: &[(&str, u32)]) {
    for (label, (class, n)) in counts.iter().enumerate() {
        for i in 0..*n {
            photo(&place.join(class).join(format!("{i:03}.png")), label as u32, i);
        }
    }
}

/// A run on a tree of 4 classes that the tests share: 130, 60, 9 and 1 pictures.
struct Trained {
    photos: PathBuf,
    run: PathBuf,
    err: String,
    out: String,
}

impl Trained {
    fn checkpoint(&self) -> PathBuf {
        self.run.join("checkpoint/last.safetensors")
    }
}

fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("photos");
        if place.exists() {
            std::fs::remove_dir_all(&place).expect("the folder of an earlier test goes");
        }
        let (photos, run) = (place.join("My Photos"), place.join("run"));
        tree(&photos, &[("cat", 130), ("dog [wolf]", 60), ("emu", 7), ("yak", 1)]);
        std::fs::write(photos.join("cat/notes.txt"), "no image").expect("a file");
        std::fs::write(photos.join("emu/old.webp"), "not read").expect("a file");
        let ran = evenkeel(&["train", text(&photos), "--epochs", "3", "--out", text(&run)]).fine();
        Trained { photos, run, err: ran.err, out: ran.out }
    })
}

#[test]
fn a_folder_is_told_before_it_is_trained_on() {
    let said = &trained().err;
    for part in [
        "My Photos: 4 classes, 159 images to train on, 39 to test on: one in five of each class",
        "shorter sides: 18 to 18 pixels",
        "cat            104      26  ████████████████████████\n",
        "dog [wolf]      48      12",
        "emu              6       1",
        "yak              1       0",
        "imbalance: 104.0; classes of many (> 100) images: 1, medium: 1, few (< 20): 2",
        "trained on, but not tested, for want of a second image: yak",
        "image_size  16 ",
        "epochs      3                 as asked for",
        "loss        balanced-softmax  imbalance 104.0",
        "left out",
        "old.webp: only JPEG and PNG",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(said.find("recipe (").expect("a recipe") < said.find("epoch 1/3").expect("an epoch"));
    let recipe = std::fs::read_to_string(trained().run.join("config.toml")).expect("a recipe");
    for line in [
        "dataset = \"folder\"",
        "image_size = 16",
        "imbalance = 1.0",
        "loss = \"balanced-softmax\"",
    ] {
        assert!(recipe.contains(line), "`{line}` is not in: {recipe}");
    }
}

/// The cells of the card's row that begins with `name`.
fn row<'a>(card: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("| {name} |");
    let line = card.lines().find(|l| l.starts_with(&start)).unwrap_or_else(|| panic!("{name}"));
    line[start.len()..].split('|').map(str::trim).filter(|c| !c.is_empty()).collect()
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

/// Everything in the card that is a result, computed anew from what the checkpoint predicts.
#[test]
fn the_cards_numbers_are_the_checkpoints() {
    let Trained { run, .. } = trained();
    let card = std::fs::read_to_string(run.join("model-card.md")).expect("a card");
    let eval = evenkeel(&["eval", text(&trained().checkpoint()), "--json"]).fine();
    let found = &eval.lines()[0];
    let confusion: Vec<u64> = found["confusion"]
        .as_array()
        .expect("a matrix")
        .iter()
        .map(|n| n.as_u64().expect("a count"))
        .collect();
    let cell = |t: usize, p: usize| confusion[t * 4 + p];
    let (mut right, mut all) = (0, 0);
    for (c, (name, train)) in [("cat", "104"), ("dog \\[wolf\\]", "48"), ("emu", "6"), ("yak", "1")]
        .into_iter()
        .enumerate()
    {
        let tested: u64 = (0..4).map(|p| cell(c, p)).sum();
        let taken: u64 = (0..4).map(|t| cell(t, c)).sum();
        let share = |n: u64| match n {
            0 => "–".to_string(),
            n => percent(cell(c, c) as f64 / n as f64),
        };
        let line = row(&card, name);
        assert_eq!(line, [train, &tested.to_string(), &share(tested), &share(taken)]);
        (right, all) = (right + cell(c, c), all + tested);
    }
    assert_eq!(all, 39);
    assert_eq!(row(&card, "all test images")[2], percent(right as f64 / all as f64));
    let emu = cell(2, 2) as f64 / (0..4).map(|p| cell(2, p)).sum::<u64>() as f64;
    assert_eq!(row(&card, "few (< 20)"), ["2", "7", &percent(emu)]);
    for (quality, title) in [("uncalibrated", "temperature 1:"), ("calibrated", "temperature ")] {
        let (nll, ece) = (&found[quality]["nll"], &found[quality]["ece"]);
        let (nll, ece) = (nll.as_f64().expect("a number"), ece.as_f64().expect("a number"));
        let part = format!("NLL {nll:.4}, ECE {}", percent(ece));
        let line = card.lines().find(|l| l.contains(title) && l.contains(&part));
        assert!(line.is_some(), "{title} {part} is not in {card}");
    }
    assert!(card.contains("not tested, as there is no test image: yak"), "{card}");
}

/// The true class of each test image, as the confusion's rows count them: the set is in class order.
fn labels() -> Vec<usize> {
    [(0, 26), (1, 12), (2, 1)].into_iter().flat_map(|(c, n)| vec![c; n]).collect()
}

/// The logits of all 39 test images.
fn logits() -> Vec<Vec<f64>> {
    let file = folder();
    let path = file.path().join("logits.safetensors");
    let flags = ["--logits", text(&path), "--images", "1000"];
    evenkeel(&[&["eval", text(&trained().checkpoint())], &flags[..]].concat()).fine();
    let file = Checkpoint::load(&path).expect("logits");
    let Some((_, TensorData::F32(values))) = file.get("logits") else { panic!("floats") };
    values.chunks(4).map(|row| row.iter().map(|z| f64::from(*z)).collect()).collect()
}

/// NLL and ECE as their definitions say, slowly.
fn quality(logits: &[Vec<f64>], temperature: f64) -> (f64, f64) {
    let n = logits.len() as f64;
    let (mut nll, mut ece) = (0.0, 0.0);
    let mut sure = Vec::new();
    for (row, y) in logits.iter().zip(labels()) {
        let exp: Vec<f64> = row.iter().map(|z| (z / temperature).exp()).collect();
        let p: Vec<f64> = exp.iter().map(|e| e / exp.iter().sum::<f64>()).collect();
        nll -= p[y].ln() / n;
        let most = p.iter().copied().fold(0.0, f64::max);
        sure.push((most, p[y] == most));
    }
    for bin in 0..BINS {
        let (low, high) = (bin as f64 / BINS as f64, (bin + 1) as f64 / BINS as f64);
        let inside: Vec<_> = sure.iter().filter(|(p, _)| *p > low && *p <= high).collect();
        let right = inside.iter().filter(|(_, hit)| *hit).count() as f64;
        ece += (right - inside.iter().map(|(p, _)| p).sum::<f64>()).abs() / n;
    }
    (nll, ece)
}

#[test]
fn the_temperature_is_kept_and_is_the_best() {
    let checkpoint = Checkpoint::load(&trained().checkpoint()).expect("a checkpoint");
    let kept: Calibration = serde_json::from_str(&checkpoint.meta["calibration"]).expect("JSON");
    let found = evenkeel(&["eval", text(&trained().checkpoint()), "--json"]).fine();
    let found = &found.lines()[0];
    let logits = logits();
    for (name, t, of) in
        [("uncalibrated", 1.0, &kept.before), ("calibrated", kept.temperature, &kept.after)]
    {
        let (nll, ece) = quality(&logits, t);
        assert!((found[name]["nll"].as_f64().expect("a number") - nll).abs() < 1e-9, "{found}");
        assert!((found[name]["ece"].as_f64().expect("a number") - ece).abs() < 1e-9, "{found}");
        // 159 images to train on: none were held out, so it was fitted on the test images.
        assert!((of.nll - nll).abs() < 1e-6, "{kept:?}");
    }
    for t in [0.97, 1.03].map(|f| f * kept.temperature) {
        assert!(quality(&logits, t).0 > kept.after.nll, "{kept:?}");
    }
    assert!(trained().out.contains("39 test images (none were held out)"), "{}", trained().out);
}

#[test]
fn predictions_are_calibrated_and_follow_from_the_logits() {
    let Trained { photos, .. } = trained();
    let checkpoint = trained().checkpoint();
    let flags = ["--json", "--top", "4"];
    let ran =
        evenkeel(&[&["predict", text(&checkpoint), text(photos)], &flags[..]].concat()).fine();
    let lines = ran.lines();
    assert_eq!(lines.len(), 198);
    let kept = Checkpoint::load(&checkpoint).expect("a checkpoint");
    let kept: Calibration = serde_json::from_str(&kept.meta["calibration"]).expect("JSON");
    let logits = logits();
    let p = |row: &Vec<f64>| {
        let exp: Vec<f64> = row.iter().map(|z| (z / kept.temperature).exp()).collect();
        exp.iter().map(|e| e / exp.iter().sum::<f64>()).collect::<Vec<f64>>()
    };
    let expected: Vec<Vec<f64>> = logits.iter().map(p).collect();
    let mut matched = 0;
    for line in &lines {
        assert_eq!(line["temperature"].as_f64(), Some(kept.temperature));
        let mut found = vec![0.0; 4];
        for class in line["classes"].as_array().expect("classes") {
            let index = class["index"].as_u64().expect("an index") as usize;
            found[index] = class["probability"].as_f64().expect("a number");
        }
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{line}");
        let same = |e: &&Vec<f64>| e.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-5);
        matched += usize::from(expected.iter().any(|e| same(&e)));
    }
    // Each test image is among them.
    assert!(matched >= 39, "{matched} of 198 have probabilities of a test image");
    let one = photos.join("emu/003.png");
    let two = photos.join("cat");
    let both = evenkeel(&["predict", text(&checkpoint), text(&one), text(&two)]).fine();
    assert_eq!((both.out.lines().count(), both.err.contains("not calibrated")), (131, false));
    assert!(both.out.starts_with(text(&one)) && both.out.contains(" %, "), "{}", both.out);
}

#[test]
fn a_checkpoint_can_be_calibrated_later() {
    let place = folder();
    let flags = ["--epochs", "2", "--max-steps", "17", "--quiet"];
    let run = place.path().join("run");
    let photos = text(&trained().photos);
    evenkeel(&[&["train", photos, "--out", text(&run)], &flags[..]].concat()).fine();
    assert!(!run.join("model-card.md").exists(), "a card of a run that was not finished");
    let checkpoint = run.join("checkpoint/last.safetensors");
    let one = trained().photos.join("emu/003.png");
    let before = evenkeel(&["predict", text(&checkpoint), text(&one)]).fine();
    assert!(before.err.contains("not calibrated"), "{}", before.err);
    let eval = evenkeel(&["eval", text(&checkpoint)]).fine();
    assert!(eval.out.contains("`evenkeel calibrate`"), "{}", eval.out);
    let fitted = evenkeel(&["calibrate", text(&checkpoint), "--json"]).fine();
    assert_eq!(fitted.lines()[0]["images"], 39);
    let after = evenkeel(&["predict", text(&checkpoint), text(&one)]).fine();
    assert!(!after.err.contains("not calibrated"), "{}", after.err);
    // The run goes on as if nothing had happened, and ends calibrated, with a card.
    evenkeel(&["train", "--resume", "--quiet", "--out", text(&run)]).fine();
    let left =
        || ["model-card.md", "checkpoint/last.safetensors"].map(|f| std::fs::read(run.join(f)));
    let [Ok(card), Ok(last)] = left() else { panic!("a card and a checkpoint") };
    std::fs::remove_file(run.join("model-card.md")).expect("it goes");
    evenkeel(&["train", "--resume", "--quiet", "--out", text(&run)]).fine();
    let [Ok(again), Ok(bytes)] = left() else { panic!("a card and a checkpoint") };
    assert!(card == again && last == bytes, "finishing twice gives other bytes");
    let foreign = place.path().join("foreign.safetensors");
    std::fs::write(&foreign, b"no checkpoint").expect("a file");
    evenkeel(&["calibrate", text(&foreign)]).failed(1, &["foreign.safetensors"]);
}

#[test]
fn a_part_is_held_out_where_it_can_be_spared() {
    let (place, out) = (folder(), folder());
    tree(place.path(), &[("a", 350), ("b", 330)]);
    let run = out.path().join("run");
    let photos = text(place.path());
    let flags = ["--epochs", "1", "--max-steps", "1", "--image-size", "8", "--out", text(&run)];
    let ran = evenkeel(&[&["train", photos], &flags[..]].concat()).fine();
    assert!(ran.err.contains("of each class, to calibrate probabilities on"), "{}", ran.err);
    // 280 and 264 to train on, of which 28 and 26 are held out.
    let fitted = evenkeel(&["calibrate", text(&run.join("checkpoint/last.safetensors")), "--json"]);
    let (fine, none) = (fitted.code == Some(0), fitted.err.contains("54 held-out training images"));
    assert!(fine && fitted.lines()[0]["images"] == 54 || none, "{}\n{}", fitted.out, fitted.err);
}

#[test]
fn folders_of_their_own_are_used() {
    let (place, runs) = (folder(), folder());
    for (part, n) in [("train", 12), ("test", 4), ("val", 31)] {
        tree(&place.path().join(part), &[("a", n), ("b", n)]);
    }
    let run = runs.path().join("run");
    let flags = ["--epochs", "1", "--json", "--out", text(&run)];
    let ran = evenkeel(&[&["train", text(place.path())], &flags[..]].concat()).fine();
    assert!(ran.err.contains("24 images to train on, 8 to test on: of a folder"), "{}", ran.err);
    assert!(ran.err.contains("calibrated on val/, 62 images"), "{}", ran.err);
    assert!(ran.lines().iter().all(|l| l["event"].is_string()), "{}", ran.out);
    let card = std::fs::read_to_string(run.join("model-card.md")).expect("a card");
    assert!(card.contains("62 to calibrate on, 8 test images"), "{card}");
    assert!(card.contains("62 images of the validation folder"), "{card}");
    let other = runs.path().join("other");
    let flags = ["--holdout", "0.2", "--out", text(&other)];
    let both = evenkeel(&[&["train", text(place.path())], &flags[..]].concat());
    both.failed(2, &["validation folder", "leave --holdout out"]);
    // A training folder alone is split.
    std::fs::remove_dir_all(place.path().join("test")).expect("it goes");
    std::fs::remove_dir_all(place.path().join("val")).expect("it goes");
    let out = runs.path().join("alone");
    let flags = ["--epochs", "1", "--max-steps", "1", "--out", text(&out)];
    let ran = evenkeel(&[&["train", text(place.path())], &flags[..]].concat()).fine();
    assert!(ran.err.contains("so it is split") && ran.err.contains("4 to test on"), "{}", ran.err);
}

#[test]
fn trees_that_are_none_are_answered() {
    let fails = |files: &[&str], code: i32, words: &[&str]| {
        let place = folder();
        for file in files {
            match file.ends_with(".png") {
                true => photo(&place.path().join(file), 0, 0),
                false => {
                    let path = place.path().join(file);
                    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                    std::fs::write(path, "x").expect("a file");
                }
            }
        }
        let runs = folder();
        let out = runs.path().join("run");
        let ran = evenkeel(&["train", text(place.path()), "--out", text(&out)]);
        ran.failed(code, words);
        assert!(!out.exists(), "a run was begun: {words:?}");
    };
    fails(&[], 1, &["no class folders: expected"]);
    fails(&["1.png", "2.png"], 1, &["2 images, but no class folders"]);
    fails(&["a/1.png", "a/2.png"], 1, &["one class only, `a`"]);
    fails(&["all/a/1.png", "all/b/1.png"], 1, &["all", "if these are the classes, give"]);
    fails(&["a/1.png", "b/x/1.png"], 1, &["b: the class has no JPEG or PNG", "1 folders"]);
    fails(&["a/1.png", "b/readme.md"], 1, &["b: the class has no JPEG or PNG", "1 other files"]);
    fails(&["a/1.png", "b/1.png"], 1, &["no test images", "two images"]);
    fails(&["a/1.png", "a/2.jpg", "b/1.png"], 1, &["2.jpg", "neither a JPEG", "--skip-bad"]);
    fails(&["data_batch_1.bin"], 2, &["data_batch_1.bin; give --dataset cifar10"]);
    fails(&["train.txt"], 2, &["train.txt; give --dataset list"]);
    evenkeel(&["train", "/no/such"]).failed(2, &["/no/such: no such file or folder"]);
    let run = &trained().run;
    evenkeel(&["train", text(run)]).failed(2, &["holds a run", "--resume --out"]);
    let photos = text(&trained().photos);
    let inside = trained().photos.join("run");
    let ran = evenkeel(&["train", photos, "--out", text(&inside)]);
    ran.failed(2, &["a folder among the images", "--out"]);
    assert!(!inside.exists());
    evenkeel(&["train", photos, "--dataset", "cifar10"]).failed(2, &["leave --dataset"]);
    evenkeel(&["train", photos, "--model", "resnett32"]).failed(2, &["resnet32"]);
    let resumed = evenkeel(&["train", photos, "--resume", "--out", text(run)]);
    resumed.failed(2, &["leave the file or folder out"]);
}

#[test]
fn wrong_images_are_answered() {
    let checkpoint = trained().checkpoint();
    let predict = |more: &[&str]| evenkeel(&[&["predict", text(&checkpoint)], more].concat());
    let place = folder();
    predict(&[text(place.path())]).failed(2, &["no JPEG or PNG image in it"]);
    let missing = place.path().join("none.png");
    let good = trained().photos.join("cat/000.png");
    let ran = predict(&[text(&good), text(&missing)]);
    ran.failed(1, &["none.png", "cannot read"]);
    assert!(ran.out.is_empty(), "{}", ran.out);
    std::fs::write(place.path().join("bad.png"), "no image").expect("a file");
    std::fs::write(place.path().join("empty.jpg"), "").expect("a file");
    predict(&[text(place.path())]).failed(1, &["bad.png", "--skip-bad"]);
    predict(&[text(place.path()), "--skip-bad"]).failed(1, &["none of 2 images could be read"]);
    photo(&place.path().join("deep/er/good.png"), 1, 1);
    let ran = predict(&[text(place.path()), "--skip-bad"]).fine();
    assert!(ran.out.lines().count() == 1 && ran.out.contains("good.png"), "{}", ran.out);
    assert!(ran.err.contains("left out") && ran.err.contains("empty.jpg"), "{}", ran.err);
    let lines = predict(&[text(place.path()), "--skip-bad", "--json"]).fine().lines();
    let errors = lines.iter().filter(|l| l["error"].is_string()).count();
    assert_eq!((lines.len(), errors), (3, 2), "{lines:?}");
}
