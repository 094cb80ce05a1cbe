//! The command line as its user meets it: what the commands print, and what they say to bad input.

#[path = "common/command.rs"]
mod command;

use command::{Ran, command, evenkeel, finish};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A training run of seconds: two steps on a few synthetic images.
const TINY: [&str; 10] = [
    "--train-per-class",
    "8",
    "--imbalance",
    "2",
    "--test-per-class",
    "2",
    "--batch-size",
    "16",
    "--epochs",
    "1",
];

/// `train` of [`TINY`] into a new folder, with more flags.
fn train(more: &[&str]) -> Ran {
    let folder = folder();
    let out = folder.path().join("run");
    evenkeel(&[&["train"], &TINY[..], &["--out", text(&out)], more].concat())
}

/// `train` on the files in `place`.
fn train_on(dataset: &str, place: &Path, more: &[&str]) -> Ran {
    let folder = folder();
    let out = folder.path().join("run");
    let flags = [
        "train",
        "--dataset",
        dataset,
        "--data",
        text(place),
        "--imbalance",
        "1",
        "--batch-size",
        "4",
        "--epochs",
        "1",
        "--out",
        text(&out),
    ];
    evenkeel(&[&flags, more].concat())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn write(path: PathBuf, bytes: impl AsRef<[u8]>) -> PathBuf {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// One finished run that the tests share.
struct Trained {
    run: PathBuf,
    stdout: Ran,
}

impl Trained {
    fn checkpoint(&self) -> PathBuf {
        self.run.join("checkpoint/last.safetensors")
    }
}

fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let run = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-run");
        if run.exists() {
            std::fs::remove_dir_all(&run).expect("the folder of an earlier test goes");
        }
        let flags = ["--json", "--log-steps", "1", "--out", text(&run)];
        let stdout = evenkeel(&[&["train"], &TINY[..], &flags].concat()).fine();
        Trained { run, stdout }
    })
}

/// A CIFAR-10 folder of five training files and a test file, two records each.
fn cifar() -> TempDir {
    let folder = folder();
    for file in 0..6 {
        let name = if file == 5 {
            "test_batch.bin".into()
        } else {
            format!("data_batch_{}.bin", file + 1)
        };
        let records = [2 * file, 2 * file + 1].map(evenkeel::check::golden::made_record);
        write(folder.path().join(name), records.concat());
    }
    folder
}

/// An image folder of two classes with six PNG files each.
fn photos() -> TempDir {
    let folder = folder();
    for (class, colour) in [("cat", [200, 30, 30]), ("dog", [30, 30, 200])] {
        for i in 0..6 {
            photo(&folder.path().join(class).join(format!("{i}.png")), colour);
        }
    }
    folder
}

fn photo(path: &Path, colour: [u8; 3]) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    image::RgbImage::from_pixel(40, 36, image::Rgb(colour)).save(path).expect("a PNG file");
}

#[test]
fn devices_lists_adapters() {
    let ran = evenkeel(&["devices"]).fine();
    assert!(ran.out.starts_with("0: "), "{}", ran.out);
    assert!(ran.out.contains("largest binding"), "{}", ran.out);
}

#[test]
fn devices_as_json_has_an_object_for_each_adapter() {
    let ran = evenkeel(&["devices", "--json"]).fine();
    let [Value::Array(list)] = &ran.lines()[..] else { panic!("one array: {}", ran.out) };
    assert_eq!(list[0]["index"], 0);
    assert!(list[0]["name"].is_string() && list[0]["limits"].is_object(), "{}", list[0]);
}

#[test]
fn train_as_json_prints_nothing_but_events() {
    let events = trained().stdout.lines();
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).collect::<Vec<_>>();
    let (steps, epochs, done) = (of("step"), of("epoch"), of("done"));
    assert_eq!(steps.len() + epochs.len() + done.len(), events.len(), "{events:?}");
    for (i, step) in steps.iter().enumerate() {
        assert_eq!(step["step"], i as u64 + 1);
        assert!(
            step["loss"].as_f64().is_some_and(f64::is_finite) && step["lr"].is_number(),
            "{step}"
        );
    }
    assert!(steps.len() >= 2 && epochs.len() == 1 && done.len() == 1, "{events:?}");
    assert!(
        epochs[0]["test"]["overall"].is_number() && epochs[0]["loss"].is_number(),
        "{}",
        epochs[0]
    );
    assert_eq!(done[0]["out"], text(&trained().run));
    assert!(done[0]["gpu_bytes_peak"].as_u64() > Some(0), "{}", done[0]);
}

#[test]
fn train_leaves_a_complete_run_folder() {
    let run = &trained().run;
    for file in ["config.toml", "metrics.jsonl", "checkpoint/last.safetensors"] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    let names = std::fs::read_dir(run).expect("the run").map(|e| e.expect("an entry").file_name());
    assert!(names.into_iter().any(|n| n.to_string_lossy().starts_with("events.out.tfevents.")));
}

#[test]
fn train_ends_with_a_table_of_the_classes() {
    let ran = train(&["--quiet"]).fine();
    assert!(ran.out.contains("accuracy") && ran.out.contains("run folder"), "{}", ran.out);
}

#[test]
fn a_runs_config_repeats_it() {
    let folder = folder();
    let config = trained().run.join("config.toml");
    let out = folder.path().join("again");
    evenkeel(&["train", text(&config), "--quiet", "--out", text(&out)]).fine();
    let bytes = |run: &Path| std::fs::read(run.join("config.toml")).expect("a recipe");
    assert_eq!(bytes(&out), bytes(&trained().run));
}

#[test]
fn eval_prints_a_table_and_json() {
    let checkpoint = trained().checkpoint();
    let table = evenkeel(&["eval", text(&checkpoint)]).fine();
    assert!(table.out.contains("accuracy"), "{}", table.out);
    let json = evenkeel(&["eval", text(&checkpoint), "--json"]).fine();
    let [found] = &json.lines()[..] else { panic!("one object: {}", json.out) };
    assert_eq!(found["images"], 20);
    let events = trained().stdout.lines();
    let epoch = events.iter().find(|e| e["event"] == "epoch").expect("an epoch");
    assert_eq!(found["test"]["overall"], epoch["test"]["overall"]);
    assert_eq!(total(&found["confusion"]), 20);
}

/// The sum of the numbers in nested lists.
fn total(value: &Value) -> u64 {
    match value {
        Value::Array(list) => list.iter().map(total).sum(),
        number => number.as_u64().expect("a count"),
    }
}

#[test]
fn predict_prints_probabilities() {
    let folder = photos();
    let (cat, dog) = (folder.path().join("cat/0.png"), folder.path().join("dog/0.png"));
    let checkpoint = trained().checkpoint();
    let ran = evenkeel(&["predict", text(&checkpoint), text(&cat), text(&dog)]).fine();
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    assert!(ran.out.lines().all(|l| l.contains(" %")), "{}", ran.out);
    let json =
        evenkeel(&["predict", text(&checkpoint), text(&cat), "--json", "--top", "10"]).fine();
    let [found] = &json.lines()[..] else { panic!("one object: {}", json.out) };
    let classes = found["classes"].as_array().expect("classes");
    let sum: f64 = classes.iter().filter_map(|c| c["probability"].as_f64()).sum();
    assert!(classes.len() == 10 && (sum - 1.0).abs() < 1e-6, "{found}");
}

#[test]
fn predict_names_a_missing_and_an_unreadable_image() {
    let folder = folder();
    let checkpoint = trained().checkpoint();
    let missing = folder.path().join("missing.png");
    let ran = evenkeel(&["predict", text(&checkpoint), text(&missing)]);
    ran.failed(1, &["missing.png", "cannot read"]);
    let broken = write(folder.path().join("broken.png"), "not a PNG");
    evenkeel(&["predict", text(&checkpoint), text(&broken)]).failed(1, &["broken.png"]);
}

#[test]
fn a_folder_without_cifar_says_what_was_expected() {
    let empty = folder();
    train_on("cifar10", empty.path(), &[]).failed(2, &["CIFAR-10", "data_batch_1.bin"]);
    let nowhere = empty.path().join("nowhere");
    train_on("cifar10", &nowhere, &[]).failed(2, &["nowhere", "--data"]);
    train(&["--dataset", "cifar10"]).failed(2, &["--data"]);
}

#[test]
fn a_missing_cifar_file_is_named() {
    let cifar = cifar();
    std::fs::remove_file(cifar.path().join("data_batch_3.bin")).expect("the file goes");
    train_on("cifar10", cifar.path(), &[]).failed(1, &["data_batch_3.bin", "missing"]);
}

#[test]
fn a_truncated_cifar_file_is_named_with_both_lengths() {
    let cifar = cifar();
    let path = cifar.path().join("data_batch_2.bin");
    let bytes = std::fs::read(&path).expect("a file");
    write(path, &bytes[..5000]);
    train_on("cifar10", cifar.path(), &[]).failed(1, &["data_batch_2.bin", "5000", "3073"]);
}

#[test]
fn a_label_out_of_range_is_named_with_its_record() {
    let cifar = cifar();
    let path = cifar.path().join("test_batch.bin");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[3073] = 10;
    write(path, bytes);
    train_on("cifar10", cifar.path(), &[]).failed(1, &["test_batch.bin", "record 1", "label 10"]);
}

#[test]
fn an_image_folder_trains() {
    let photos = photos();
    let ran = train_on("folder", photos.path(), &["--json"]).fine();
    assert_eq!(ran.lines().last().expect("a line")["event"], "done");
}

#[test]
fn an_unreadable_image_is_named_and_can_be_skipped() {
    let photos = photos();
    write(photos.path().join("dog/3.png"), "not a PNG");
    train_on("folder", photos.path(), &[]).failed(1, &["3.png", "--skip-bad"]);
    let ran = train_on("folder", photos.path(), &["--skip-bad"]).fine();
    assert!(ran.err.contains("3.png"), "the file left out is told: {}", ran.err);
}

#[test]
fn an_empty_class_folder_is_named() {
    let photos = photos();
    std::fs::create_dir(photos.path().join("emu")).expect("a folder");
    train_on("folder", photos.path(), &[]).failed(1, &["emu", "no JPEG or PNG"]);
}

#[test]
fn an_unknown_value_is_answered_with_the_nearest() {
    for (flag, wrong, nearest) in [
        ("--model", "resnett32", "resnet32"),
        ("--norm", "nbm", "nbn"),
        ("--dataset", "cifar11", "cifar10"),
        ("--head", "linaer", "linear"),
        ("--schedule", "cosin", "cosine"),
        ("--augment", "standart", "standard"),
    ] {
        train(&[flag, wrong]).failed(2, &[flag, wrong, &format!("did you mean `{nearest}`?")]);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_a_wrong_request() {
    train(&["--lr", "fast"]).failed(2, &["--lr", "fast"]);
    train(&["--momentum", "2"]).failed(2, &["--momentum"]);
    train(&["--seed", "-1"]).failed(2, &["--seed"]);
}

#[test]
fn an_unknown_flag_or_command_is_answered_with_the_nearest() {
    train(&["--modle", "small"]).failed(2, &["--modle", "--model"]);
    evenkeel(&["trian"]).failed(2, &["trian", "train"]);
}

#[test]
fn an_unknown_key_of_a_recipe_is_told_with_its_line() {
    let folder = folder();
    let recipe = write(folder.path().join("recipe.toml"), "[optim]\nlr = 0.1\nmomentun = 0.9\n");
    let ran = evenkeel(&["train", text(&recipe)]);
    ran.failed(2, &["recipe.toml:3", "momentun", "did you mean `momentum`?"]);
    let missing = folder.path().join("missing.toml");
    evenkeel(&["train", text(&missing)]).failed(2, &["missing.toml"]);
}

#[test]
fn a_checkpoint_of_another_shape_names_tensor_and_shapes() {
    let checkpoint = trained().checkpoint();
    let words = ["last.safetensors", "`bn1.weight`", "[8]", "[16]"];
    train(&["--init", text(&checkpoint), "--model", "resnet20"]).failed(1, &words);
    evenkeel(&["eval", text(&checkpoint), "--model", "resnet20"]).failed(1, &words);
    let classes = train(&["--init", text(&checkpoint), "--classes", "3"]);
    classes.failed(1, &["`linear.weight`", "[10, 32]", "[3, 32]"]);
}

#[test]
fn a_corrupt_or_missing_checkpoint_is_named() {
    let folder = folder();
    let bytes = std::fs::read(trained().checkpoint()).expect("a checkpoint");
    let cut = write(folder.path().join("cut.safetensors"), &bytes[..bytes.len() / 2]);
    let noise = write(folder.path().join("noise.safetensors"), [0xa5; 4096]);
    let empty = write(folder.path().join("empty.safetensors"), []);
    let missing = folder.path().join("missing.safetensors");
    for path in [&cut, &noise, &empty, &missing] {
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        let eval = evenkeel(&["eval", text(path)]);
        assert!(matches!(eval.code, Some(1 | 2)), "{name}: {:?}", eval.code);
        assert!(eval.err.contains(name), "{}", eval.err);
        let init = train(&["--init", text(path)]);
        assert!(matches!(init.code, Some(1 | 2)), "{name}: {:?}", init.code);
        assert!(init.err.contains(name), "{}", init.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn without_an_adapter_the_error_says_how_to_install_a_driver() {
    let out = folder();
    let mut train = command(&[&["train"], &TINY[..]].concat());
    train.current_dir(out.path());
    let mut devices = command(&["devices"]);
    for command in [&mut train, &mut devices] {
        command.env("VK_ICD_FILENAMES", "/nonexistent").env("VK_DRIVER_FILES", "/nonexistent");
    }
    finish(train).failed(1, &["no GPU adapter", "mesa-vulkan-drivers"]);
    let ran = finish(devices).fine();
    assert!(ran.out.contains("mesa-vulkan-drivers"), "{}", ran.out);
    assert!(!out.path().join("runs").exists(), "a run was begun without a device");
}

#[test]
fn an_unknown_device_is_a_wrong_request() {
    train(&["--device", "999"]).failed(2, &["999", "evenkeel devices"]);
    train(&["--device", "no such adapter"]).failed(2, &["no such adapter", "did you mean"]);
    let mut by_environment = command(&["eval", text(&trained().checkpoint())]);
    by_environment.env("EVENKEEL_DEVICE", "999");
    finish(by_environment).failed(2, &["999"]);
}

/// Images of `size`² whose first activations, 8 channels of floats, no binding of `limit` bytes holds,
/// few enough to be made quickly: size and number.
fn too_many(limit: u64) -> (u64, u64) {
    let number = |size: u64| limit / (8 * 4 * size * size) + 1;
    let size = [64, 128, 256, 512, 1024, 2048, 4096].into_iter().find(|s| number(*s) <= 24);
    size.map(|s| (s, number(s))).expect("a size")
}

#[test]
fn a_batch_that_does_not_fit_is_answered_with_one_that_does() {
    let ran = evenkeel(&["devices", "--json"]).fine();
    let limit = &ran.lines()[0][0]["limits"]["max_storage_buffer_binding_size"];
    let (size, number) = too_many(limit.as_u64().expect("a limit"));
    let folder = folder();
    let out = folder.path().join("run");
    let (size, number) = (size.to_string(), number.to_string());
    let ran = evenkeel(&[
        "train",
        "--classes",
        "2",
        "--imbalance",
        "1",
        "--train-per-class",
        &number,
        "--test-per-class",
        "1",
        "--image-size",
        &size,
        "--batch-size",
        &number,
        "--epochs",
        "1",
        "--out",
        text(&out),
    ]);
    ran.failed(1, &["MiB", "--batch-size"]);
    let fits = ran.err.split("--batch-size ").nth(1).expect("a batch size");
    let fits: u64 = fits.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(fits >= 1 && fits < number.parse().expect("a number"), "{}", ran.err);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_saves_nothing_bad() {
    let folder = folder();
    let out = folder.path().join("run");
    let flags = ["--out", text(&out), "--lr", "1e30", "--log-steps", "1", "--json"];
    let ran = evenkeel(&[&["train"], &TINY[..], &flags].concat());
    ran.failed(1, &["not finite at step", "--lr"]);
    assert!(ran.err.contains("gradient of ") || ran.err.contains("the loss"), "{}", ran.err);
    for event in ran.lines() {
        assert!(event["loss"].is_number(), "{event}");
    }
    let files: Vec<_> = std::fs::read_dir(out.join("checkpoint")).expect("the folder").collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn resume_without_a_run_is_a_wrong_request() {
    let folder = folder();
    let nothing = folder.path().join("nothing");
    evenkeel(&["train", "--resume"]).failed(2, &["--out"]);
    let ran = evenkeel(&["train", "--resume", "--out", text(&nothing)]);
    ran.failed(2, &["nothing", "no run to resume"]);
    assert!(!nothing.exists());
}

#[test]
fn resume_refuses_another_recipe() {
    let ran = evenkeel(&["train", "--resume", "--out", text(&trained().run), "--lr", "0.5"]);
    ran.failed(2, &["keeps its recipe"]);
}

#[test]
fn a_folder_that_holds_a_run_is_not_overwritten() {
    let last = trained().checkpoint();
    let before = std::fs::read(&last).expect("a checkpoint");
    let ran = evenkeel(&[&["train"], &TINY[..], &["--out", text(&trained().run)]].concat());
    ran.failed(2, &["holds a run already", "--resume", "--out"]);
    assert_eq!(std::fs::read(&last).expect("a checkpoint"), before);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    let file = write(folder.path().join("file"), "");
    for out in [file.clone(), file.join("run")] {
        let ran = evenkeel(&[&["train"], &TINY[..], &["--out", text(&out)]].concat());
        ran.failed(1, &[text(&out), "cannot create"]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let checkpoint = trained().checkpoint();
    for args in [&["eval", text(&checkpoint)][..], &["devices"], &["devices", "--json"]] {
        let mut child = command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the program ends");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!err.contains("panicked"), "{args:?}: {err}");
    }
}
