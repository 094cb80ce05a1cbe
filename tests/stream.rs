//! Training on a streamed set as its user starts it: the numbers of a loaded set, the same bits after a break,
//! flat memory, broken images, and what streaming cannot do.

#[path = "common/command.rs"]
mod command;
#[path = "common/run.rs"]
mod run;

use command::{Ran, evenkeel};
use evenkeel::data::Place;
use evenkeel::data::stream::{How, Stream, View};
use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::graph::{Plan, Work, Workspace};
use evenkeel::ops::Changes;
use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use evenkeel::train::device_set::{DeviceSet, Room};
use image::{Rgb, RgbImage};
use run::{bytes, done, folder, resume, text, train};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Class folders of photos of several sizes: a class's colour, with a ramp and a dot that no two share.
fn photos(counts: [usize; 3]) -> TempDir {
    let dir = folder();
    for (class, count) in counts.into_iter().enumerate() {
        let name = dir.path().join(["ant", "bee", "cow"][class]);
        std::fs::create_dir_all(&name).expect("a folder");
        for i in 0..count as u32 {
            let (w, h) = (40 + 7 * (i % 5), 38 + 5 * (i % 7));
            let image = RgbImage::from_fn(w, h, |x, y| {
                let dot = x.abs_diff(5 + i % 30) < 4 && y.abs_diff(5 + i * 7 % 30) < 4;
                let mut pixel = [(4 * x) as u8, (5 * y) as u8, (9 * i) as u8];
                pixel[class] = if dot { 255 } else { (120 + 3 * x) as u8 };
                Rgb(pixel)
            });
            image.save(name.join(format!("{i:03}.png"))).expect("a PNG file");
        }
    }
    dir
}

const COUNTS: [usize; 3] = [40, 15, 5];

/// Flags of two epochs on the photos of `place`, where `more` says nothing else.
fn flags<'a>(place: &'a Path, stream: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = [
        ["--dataset", "folder"],
        ["--imbalance", "1"],
        ["--image-size", "33"],
        ["--epochs", "2"],
        ["--batch-size", "7"],
        ["--data", text(place)],
        ["--stream", stream],
    ];
    let usual = usual.into_iter().filter(|[flag, _]| !more.contains(flag));
    usual.flatten().chain(more.iter().copied()).collect()
}

fn losses(events: &[Value]) -> Vec<f64> {
    let steps = events.iter().filter(|e| e["event"] == "step");
    steps.map(|e| e["loss"].as_f64().expect("a loss")).collect()
}

/// Names and bits of a checkpoint's tensors.
fn tensors(run: &Path) -> Vec<(String, Vec<u32>)> {
    let file = Checkpoint::load(&run.join("checkpoint/last.safetensors")).expect("a checkpoint");
    let bits = |data: &TensorData| match data {
        TensorData::F32(values) => values.iter().map(|v| v.to_bits()).collect(),
        TensorData::I64(values) => values.iter().map(|v| *v as u32).collect(),
        TensorData::U8(values) => values.iter().map(|v| u32::from(*v)).collect(),
    };
    file.tensors.iter().map(|(name, _, data)| (name.clone(), bits(data))).collect()
}

/// The run of `more` is the same streamed and loaded, to the last bit: its losses, its measures, its network.
fn same_as_loaded(place: &Path, more: &[&str]) {
    let outs = [folder(), folder()];
    let [loaded, streamed] = [("never", &outs[0]), ("always", &outs[1])]
        .map(|(stream, out)| train(&flags(place, stream, more), out.path()));
    assert!(losses(&loaded).len() >= 8, "{more:?}: {loaded:?}");
    assert_eq!(losses(&loaded), losses(&streamed), "{more:?}");
    assert!(tensors(outs[0].path()) == tensors(outs[1].path()), "{more:?}");
    assert_eq!(done(&loaded)["test"], done(&streamed)["test"], "{more:?}");
    for (a, b) in loaded.iter().zip(&streamed).filter(|(a, _)| a["event"] == "epoch") {
        assert_eq!(a["train_accuracy"], b["train_accuracy"], "{more:?}");
        assert!(a["stream"].is_null() && b["stream"]["decode"].as_f64() > Some(0.0), "{b}");
    }
    let pictures = |out: &TempDir| {
        let read = std::fs::read_to_string(out.path().join("features.json")).expect("features");
        serde_json::from_str::<Value>(&read).expect("JSON")["pictures"].clone()
    };
    assert_eq!(pictures(&outs[0]), pictures(&outs[1]), "{more:?}");
}

#[test]
fn a_streamed_run_computes_what_a_loaded_one_does() {
    let photos = photos(COUNTS);
    let policy = "--policy jitter --cutout 8 --resize-size 40 --holdout 0.2";
    same_as_loaded(photos.path(), &policy.split(' ').collect::<Vec<_>>());
}

#[test]
fn samplers_mixtures_and_views_are_those_of_a_loaded_set() {
    let photos = photos(COUNTS);
    for more in [
        "--mix cmo --sampler sqrt",
        "--contrast bcl --head cosine --sampler class-balanced",
        "--post adabn --sampler under --epochs 4",
        "--post ncm --sampler paired --batch-size 8",
        "--accumulate 2 --batch-size 3 --augment none",
    ] {
        same_as_loaded(photos.path(), &more.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn features_are_drawn_towards_those_of_a_streamed_neighbour() {
    let (photos, first) = (photos(COUNTS), folder());
    train(&flags(photos.path(), "always", &["--epochs", "1"]), first.path());
    let init = first.path().join("checkpoint/last.safetensors");
    let more = "--train-only head --sampler smote --augment none --init";
    let more: Vec<&str> = more.split(' ').chain([text(&init)]).collect();
    same_as_loaded(photos.path(), &more);
}

#[test]
fn a_run_broken_off_within_an_epoch_goes_on_to_the_same_bits() {
    let photos = photos(COUNTS);
    let more: Vec<&str> = "--augment resized-crop --policy jitter --mix cmo".split(' ').collect();
    let (whole, broken) = (folder(), folder());
    train(&flags(photos.path(), "always", &more), whole.path());
    let stop = [&more[..], &["--max-steps", "10"]].concat();
    train(&flags(photos.path(), "always", &stop), broken.path());
    assert!(bytes(broken.path(), "last.safetensors") != bytes(whole.path(), "last.safetensors"));
    resume(broken.path());
    assert!(tensors(broken.path()) == tensors(whole.path()));
    let rows = |out: &TempDir| evenkeel::train::run_dir::read_metrics(out.path()).expect("rows");
    for (a, b) in rows(&whole).iter().zip(&rows(&broken)) {
        for key in ["loss", "train_accuracy", "test", "step"] {
            assert_eq!(a[key], b[key], "{key}");
        }
    }
    // Other files than the run began with.
    std::fs::copy(photos.path().join("ant/001.png"), photos.path().join("ant/002.png"))
        .expect("a file");
    let out = text(broken.path());
    evenkeel(&["train", "--resume", "--out", out]).failed(1, &["the data has changed"]);
}

/// The images of a batch as the device gathers them, of positions `first..first + n`.
fn gathered(set: &DeviceSet, gpu: &std::rc::Rc<Gpu>, first: usize, n: usize) -> Vec<f32> {
    let changes = Changes { crop_flip: true, ..Changes::default() };
    let (x, _) = set.batch_of(n, changes).expect("a batch");
    let mut workspace = Workspace::new(gpu);
    let mut work = Work::new();
    work.keep(&x);
    let plan = Plan::build(&mut workspace, work).expect("a plan");
    set.stage(first, n).expect("images");
    plan.run(&StepUniform { first: first as u32, epoch: 3, ..Default::default() }).expect("a step");
    plan.read(&x).expect("values")
}

#[test]
fn training_sees_the_streams_crops_mirrored_or_not() {
    let photos = photos([12, 12, 12]);
    let spec = evenkeel::data::DataSpec {
        dataset: "folder".into(),
        data: Some(photos.path().into()),
        imbalance: 1.0,
        image_size: Some(16),
        stream: evenkeel::data::Streaming::Always,
        ..Default::default()
    };
    let train = evenkeel::data::load(&spec).expect("a set").train;
    let gpu = Gpu::open(None).expect("a device");
    let set = DeviceSet::with_room(&gpu, &train, Room { batch: 4, ..Room::default() });
    let set = set.expect("a set");
    set.crop(9, 3);
    let places: Arc<Vec<Place>> = train.files.as_ref().expect("files").places.clone();
    let view = View::Crop { seed: 9, epoch: 3, draw: 0 };
    let how =
        How { size: [16, 16], view, batch: 4, from: 0, ahead: 4, threads: 3, skip_bad: false };
    let order = Arc::new((0..train.len() as u32).collect());
    let stream = Stream::start(places, order, how).expect("a stream");
    let [mean, std] = set.normalization();
    let mut mirrored = [0, 0];
    for batch in stream.take(5) {
        let batch = batch.expect("a batch");
        let found = gathered(&set, &gpu, batch.first, batch.indices.len());
        for (x, image) in found.chunks(3 * 256).zip(batch.pixels.chunks(3 * 256)) {
            let at = |c: usize, row: usize, column: usize| {
                (f32::from(image[c * 256 + row * 16 + column]) / 255.0 - mean[c]) / std[c]
            };
            let same = |flip: bool| {
                (0..3 * 256).all(|i| {
                    let (c, row, column) = (i / 256, i / 16 % 16, i % 16);
                    let column = if flip { 15 - column } else { column };
                    (x[i] - at(c, row, column)).abs() < 1e-5
                })
            };
            assert!(same(true) != same(false), "neither or both");
            mirrored[usize::from(same(true))] += 1;
        }
    }
    assert!(mirrored[0] > 2 && mirrored[1] > 2, "{mirrored:?}");
}

#[test]
fn memory_does_not_grow_with_the_set() {
    let peak = |counts| {
        let (photos, out) = (photos(counts), folder());
        let events = train(&flags(photos.path(), "always", &["--epochs", "1"]), out.path());
        done(&events)["gpu_bytes_peak"].as_u64().expect("bytes")
    };
    // Four of five are for training, and every batch is whole.
    let (small, large) = (peak([35; 3]), peak([140; 3]));
    // 315 images of 3,267 bytes more; what grows is three numbers a position, of training and of test.
    assert!(large - small <= 315 * 3 * 4 + 1024, "{small} {large}");
}

#[test]
fn a_set_is_streamed_by_itself_above_two_gibibytes() {
    let photos = photos([2, 2, 2]);
    let images = ["ant", "bee", "cow"].map(|class| format!("{class}/000.png"));
    let list = |count: usize| -> String {
        (0..count).map(|i| format!("{} {}\n", images[i % 3], i % 3)).collect()
    };
    let files = |train: usize, size: usize| {
        std::fs::write(photos.path().join("train.txt"), list(train)).expect("a list");
        std::fs::write(photos.path().join("test.txt"), list(3)).expect("a list");
        let spec = evenkeel::data::DataSpec {
            dataset: "list".into(),
            data: Some(photos.path().into()),
            imbalance: 1.0,
            image_size: Some(size),
            ..Default::default()
        };
        let splits = evenkeel::data::load(&spec).expect("a set");
        assert_eq!(splits.train.len(), train);
        splits.train.files.is_some() && splits.test.files.is_some()
    };
    assert!(!files(60, 32));
    // 2730 images of 3 × 512 × 512 bytes are a little less than 2 GiB, with three of the test set a little more.
    assert!(files(2730, 512));
}

#[test]
fn the_centre_is_cut_out_of_a_larger_image() {
    let dir = folder();
    let path = dir.path().join("framed.png");
    let framed = RgbImage::from_fn(64, 64, |x, y| {
        let inside = (20..44).contains(&x) && (20..44).contains(&y);
        if inside { Rgb([200, 0, 0]) } else { Rgb([0, 0, 200]) }
    });
    framed.save(&path).expect("a PNG file");
    let red = |margin: f64| {
        let found =
            evenkeel::data::load_images(std::slice::from_ref(&path), [16, 16], margin, false);
        let pixels = found.expect("an image").pixels;
        pixels[..256].iter().filter(|v| **v > 100).count()
    };
    // 24 of 64 pixels a side, of 32 with twice the size, of 16 with four times.
    assert_eq!([red(1.0), red(2.0), red(4.0)], [36, 144, 256]);
}

fn run_on(place: &Path, stream: &str, more: &[&str]) -> Ran {
    let out = folder();
    let run = out.path().join("run");
    evenkeel(&[&["train"], &flags(place, stream, more)[..], &["--out", text(&run)]].concat())
}

#[test]
fn a_broken_image_is_named_or_left_out() {
    let photos = photos(COUNTS);
    let broken = photos.path().join("bee/003.png");
    std::fs::write(&broken, "not a PNG").expect("a file");
    run_on(photos.path(), "always", &[]).failed(1, &["003.png", "--skip-bad"]);
    let ran = run_on(photos.path(), "always", &["--skip-bad"]).fine();
    assert!(ran.err.contains("left out") && ran.err.contains("003.png"), "{}", ran.err);
    same_as_loaded(photos.path(), &["--skip-bad"]);
}

#[test]
fn what_waits_for_what_is_told() {
    let photos = photos(COUNTS);
    let ran = run_on(photos.path(), "always", &[]).fine();
    let told = ran.err.lines().filter(|l| l.contains("images/s") && l.contains(" waited for "));
    assert_eq!(told.count(), 2, "{}", ran.err);
}

#[test]
fn what_streaming_cannot_do_is_refused_before_anything_is_read() {
    let (photos, empty) = (photos([3, 3, 3]), folder());
    let refused = |more: &str, stream: &str, words: &[&str]| {
        let more: Vec<&str> = more.split(' ').collect();
        run_on(photos.path(), stream, &more).failed(2, words);
    };
    refused("--sampler one-sided", "always", &["one-sided", "--stream never"]);
    refused("--augment resized-crop", "auto", &["resized-crop", "--stream always"]);
    refused("--resize-size 20", "always", &["resize_size is 20", "image_size, 33"]);
    refused("--seed 1", "sometimes", &["--stream", "sometimes", "always"]);
    let flags = ["train", "--stream", "always", "--out", text(empty.path())];
    evenkeel(&flags).failed(2, &["image files", "synthetic"]);
    run_on(empty.path(), "always", &[]).failed(1, &["no class folders"]);
}
