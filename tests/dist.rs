//! Several ranks training together, here threads with a device each: two of batch 16 come to what one of batch
//! 32 comes to, the same bits whatever the timing and across an interruption; what is wrong on one rank ends
//! all. tools/mpi-check runs the same through mpirun.

mod common;
#[path = "common/trained.rs"]
mod trained;

use evenkeel::dist::{Group, threads};
use evenkeel::error::Error;
use evenkeel::gpu::{Gpu, Slice, StepUniform};
use evenkeel::graph::{Effect, Plan, Work, Workspace, grad};
use evenkeel::ops;
use evenkeel::tensor::{DType, Tensor};
use evenkeel::train::config::{Config, Overrides};
use evenkeel::train::stages;
use evenkeel::train::trainer::{Options, Outcome};
use evenkeel_kernels::Arg;
use prost::Message;
use serde_json::Value;
use std::path::Path;
use std::rc::Rc;
use trained::tensors;

/// What each of `n` ranks, threads of their own, finds.
fn ranks<T: Send>(n: usize, run: impl Fn(Rc<Group>) -> T + Sync) -> Vec<T> {
    let run = &run;
    std::thread::scope(|scope| {
        let start = |t| scope.spawn(move || run(Rc::new(Group::from(t))));
        let started: Vec<_> = threads(n).into_iter().map(start).collect();
        started.into_iter().map(|t| t.join().expect("a rank")).collect()
    })
}

/// 20 steps on a few synthetic images, at a rate at which runs can be compared.
fn recipe(norm: &str, batch: usize, more: &Overrides) -> Config {
    let text = |v: &str| Some(v.to_string());
    let mut config = Config::default();
    let flags = Overrides {
        classes: text("4"),
        train_per_class: text("45"),
        test_per_class: text("5"),
        imbalance: text("4"),
        model: text("small"),
        norm: text(norm),
        batch_size: text(&batch.to_string()),
        epochs: text("6"),
        max_steps: text("20"),
        log_steps: text("1"),
        lr: text("1e-4"),
        sync_bn: more.sync_bn.clone().or(text("true")),
        ..more.clone()
    };
    config.apply(&flags).expect("flags");
    config
}

fn options(out: &Path, resume: bool, group: Rc<Group>) -> Options {
    Options { group, ..trained::options(out, resume) }
}

/// Trains on `n` ranks into `out`; each rank's outcome.
fn train(n: usize, config: &Config, out: &Path, resume: bool) -> Vec<Result<Outcome, Error>> {
    ranks(n, |group| stages::run(config, &options(out, resume, group.clone())))
}

fn trained(n: usize, config: &Config, out: &Path, resume: bool) {
    for outcome in train(n, config, out, resume) {
        outcome.expect("a run");
    }
}

fn said(outcome: &Result<Outcome, Error>) -> String {
    outcome.as_ref().err().map(ToString::to_string).unwrap_or_default()
}

/// The fields of TensorFlow's event that hold a step's loss.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The losses of a run's steps, from its event file.
fn losses(run: &Path) -> Vec<f32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(run).expect("a folder").map(|e| e.expect("an entry").path()) {
        if !entry.to_string_lossy().contains("tfevents") {
            continue;
        }
        let bytes = std::fs::read(&entry).expect("events");
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes")) as usize;
            let event = Event::decode(&rest[12..12 + length]).expect("an event");
            let values = event.summary.map(|s| s.value).unwrap_or_default();
            let losses = values.into_iter().filter(|v| v.tag == "step/loss");
            found.extend(losses.filter_map(|v| v.simple_value));
            rest = &rest[16 + length..];
        }
    }
    found
}

/// A checkpoint's floats, by name.
type Tensors = Vec<(String, Vec<f32>)>;

/// The losses and last parameters of one rank of batch 32, and of two of 16.
fn one_and_two(norm: &str, more: &Overrides) -> [(Vec<f32>, Tensors); 2] {
    [(1, 32), (2, 16)].map(|(n, batch)| {
        let folder = tempfile::tempdir().expect("a folder");
        trained(n, &recipe(norm, batch, more), folder.path(), false);
        (losses(folder.path()), tensors(folder.path()))
    })
}

/// The worst relative error of a loss of two ranks.
fn worst(one: &[f32], two: &[f32]) -> f32 {
    assert_eq!((one.len(), two.len()), (20, 20));
    one.iter().zip(two).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f32::max)
}

/// Two ranks with synchronized batch norms are one rank: losses, parameters and statistics.
fn same(norm: &str, more: &Overrides) {
    let [(one, a), (two, b)] = one_and_two(norm, more);
    let worst = worst(&one, &two);
    println!("{norm}: losses within {worst:.1e} relative, {one:?}");
    assert!(worst < 1e-3, "{worst}: {one:?} {two:?}");
    assert_eq!(a.len(), b.len());
    for ((name, a), (_, b)) in a.iter().zip(&b) {
        let size = a.iter().map(|v| v.abs()).fold(1e-3, f32::max);
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size;
        assert!(worst < 1e-2, "{name}: {worst}");
    }
}

/// The last batch of an epoch is uneven: an odd number of images.
#[test]
fn an_epoch_of_the_test_ends_with_an_odd_batch() {
    let images = evenkeel::data::load(&recipe("bn", 16, &Overrides::default()).data);
    let rest = images.expect("images").train.len() % 32;
    assert!(rest % 2 == 1 && rest > 1, "{rest}");
}

#[test]
fn two_ranks_of_16_are_one_of_32_with_batch_norm() {
    same("bn", &Overrides::default());
}

#[test]
fn two_ranks_of_16_are_one_of_32_with_nbn_class_weights_and_noise() {
    let text = |v: &str| Some(v.to_string());
    let more = Overrides {
        class_weights: text("effective"),
        beta: text("0.99"),
        loss: text("gcl"),
        head: text("cosine"),
        ..Overrides::default()
    };
    same("nbn", &more);
}

/// So the tests above can fail.
#[test]
fn ranks_have_their_own_statistics_unless_they_are_synchronized() {
    let alone = Overrides { sync_bn: Some("false".into()), ..Overrides::default() };
    let [(one, _), (two, _)] = one_and_two("bn", &alone);
    assert!(worst(&one, &two) > 1e-3, "{one:?} {two:?}");
}

/// A streamed set: each rank reads its part, and crops it as one rank does.
#[test]
fn two_ranks_stream_what_one_streams() {
    let photos = tempfile::tempdir().expect("a folder");
    for (class, count) in [("ant", 60u32), ("bee", 30), ("cow", 15)] {
        let folder = photos.path().join(class);
        std::fs::create_dir(&folder).expect("a folder");
        for i in 0..count {
            let red = class.as_bytes()[0];
            let pixel = |x, y| image::Rgb([red, (5 * x + i) as u8, (3 * y + 7 * i) as u8]);
            let image = image::RgbImage::from_fn(40 + i % 5, 36 + i % 3, pixel);
            image.save(folder.join(format!("{i}.png"))).expect("a picture");
        }
    }
    let text = |v: &str| Some(v.to_string());
    let flags = Overrides {
        dataset: text("folder"),
        data: Some(photos.path().display().to_string()),
        image_size: text("32"),
        stream: text("always"),
        augment: text("resized-crop"),
        max_steps: text("6"),
        epochs: text("3"),
        lr: text("1e-4"),
        sync_bn: text("true"),
        log_steps: text("1"),
        ..Overrides::default()
    };
    let [one, two] = [(1, 32), (2, 16)].map(|(n, batch)| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.apply(&flags).expect("flags");
        config.data.imbalance = 1.0;
        config.train.batch_size = batch;
        trained(n, &config, folder.path(), false);
        losses(folder.path())
    });
    assert_eq!((one.len(), two.len()), (6, 6));
    let worst = one.iter().zip(&two).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "{worst}: {one:?} {two:?}");
}

#[test]
fn an_interrupted_run_of_two_goes_on_to_the_same_bits_and_only_on_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    let mut config = recipe("nbn", 16, &Overrides::default());
    // To its end, with evaluation and calibration.
    (config.train.epochs, config.train.max_steps) = (2, None);
    config.optim.lr = 0.05;
    trained(2, &config, &whole, false);
    let mut first = config.clone();
    first.train.max_steps = Some(5);
    trained(2, &first, &broken, false);

    let refused = train(1, &config, &broken, true);
    let told = said(&refused[0]);
    assert!(told.contains("2 ranks") && told.contains("mpirun -n 2"), "{told}");
    let refused = train(3, &config, &broken, true);
    assert!(refused.iter().all(|r| said(r).contains("mpirun -n 2")));

    trained(2, &config, &broken, true);
    assert_eq!(tensors(&whole), tensors(&broken));
    let metrics = |run: &Path| -> Vec<Value> {
        let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
        text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
    };
    let (a, b) = (metrics(&whole), metrics(&broken));
    assert_eq!((a.len(), b.len()), (2, 2));
    for (a, b) in a.iter().zip(&b) {
        for key in ["loss", "train_accuracy", "test", "step"] {
            assert_eq!(a[key], b[key], "{key}");
        }
    }
}

#[test]
fn what_is_wrong_on_one_rank_ends_all_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let config = recipe("bn", 16, &Overrides::default());
    let found = ranks(2, |group| {
        let mut own = config.clone();
        own.data.test_per_class = Some(5 + group.rank());
        stages::run(&own, &options(&out, false, group.clone()))
    });
    for outcome in &found {
        assert!(said(outcome).contains("rank 1 has other images"), "{}", said(outcome));
    }
    assert!(!out.exists());

    let found = ranks(2, |group| {
        let mut own = config.clone();
        own.train.device = (group.rank() == 1).then(|| "no such device".into());
        stages::run(&own, &options(&out, false, group.clone()))
    });
    for outcome in &found {
        let told = said(outcome);
        assert!(told.starts_with("rank 1: ") && told.contains("no such device"), "{told}");
        assert_eq!(outcome.as_ref().err().map(Error::exit_code), Some(2));
    }
    assert!(!out.exists());

    // A device that is lost on one rank, in the middle: the other finds it gone.
    let found = ranks(2, |group| {
        let lost = (group.rank() == 1).then_some(3);
        let options = Options { lose_device_at: lost, ..options(&out, false, group.clone()) };
        stages::run(&config, &options)
    });
    assert!(said(&found[1]).contains("lost"), "{}", said(&found[1]));
    assert!(said(&found[0]).contains("rank 1 has ended"), "{}", said(&found[0]));
}

#[test]
fn batches_too_small_for_all_ranks_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = recipe("bn", 1, &Overrides::default());
    let images = evenkeel::data::load(&config.data).expect("images").train.len();
    // The last batch has one image, for two ranks.
    let mut config = config;
    config.train.batch_size = (images - 1) / 2;
    let told = said(&train(2, &config, &folder.path().join("run"), false)[0]);
    assert!(told.contains("2 ranks") && told.contains("--drop-last"), "{told}");
    let mut paco = evenkeel::train::recipes::load("cifar10-lt/paco").expect("a recipe");
    (paco.data, paco.train.batch_size) = (config.data.clone(), 16);
    let told = said(&train(2, &paco, &folder.path().join("run"), false)[0]);
    assert!(told.contains("without mpirun"), "{told}");
    let bad = Overrides {
        sync_bn: Some("true".into()),
        norm: Some("transnorm".into()),
        sampler: Some("paired".into()),
        ..Overrides::default()
    };
    let mut config = Config::default();
    config.apply(&bad).expect("flags");
    let told = config.validate().expect_err("a contradiction").to_string();
    assert!(told.contains("sync_bn"), "{told}");
}

/// y = Σ_r x_r, and dx_r = Σ_r' d loss_r' / dy.
#[test]
fn all_reduce_sums_values_and_gradients() {
    let found = ranks(3, |group| {
        let gpu = common::gpu();
        let rank = group.rank() as f32;
        let x = Tensor::new(&gpu, &[rank + 1.0, 10.0 * rank], [2]).expect("a tensor");
        let y = ops::all_reduce(&x);
        let square = ops::unary("square", &y).expect("square");
        let c = ops::fill(&gpu, [2], rank + 1.0);
        let loss = ops::sum(&ops::binary("mul", &square, &c).expect("mul"), &[], false);
        let dx = grad(&loss.expect("a loss"), &[&x]).expect("a gradient").remove(0).expect("dx");
        let mut workspace = Workspace::new(&gpu);
        workspace.group = Some(group.clone());
        let mut work = Work::new();
        work.keep(&y).keep(&dx);
        let plan = Plan::build(&mut workspace, work).expect("a plan");
        plan.run(&StepUniform::default()).expect("a run");
        (plan.read::<f32>(&y).expect("y"), plan.read::<f32>(&dx).expect("dx"))
    });
    // y = (6, 30); dx = (1 + 2 + 3)·2y
    for (y, dx) in found {
        assert_eq!(y, [6.0, 30.0]);
        assert_eq!(dx, [72.0, 360.0]);
    }
}

/// Stored values that are summed while the plan goes on, beside a value that is needed at once.
#[test]
fn stretches_are_summed_before_the_effects_that_read_them() {
    let found = ranks(2, |group| {
        let gpu: Rc<Gpu> = common::gpu();
        let scale = group.rank() as f32 + 1.0;
        let words = 64 * 3;
        let flat = gpu.alloc("flat", words).expect("a buffer");
        let stretch = |i: usize| Slice { buffer: flat.clone(), start: 64 * i, words: 64 };
        let mut work = Work::new();
        let mut x = Tensor::new(&gpu, &[scale; 64], [64]).expect("a tensor");
        for i in 0..3 {
            x = ops::unary("square", &x).expect("square");
            let copy = ops::binary("mul", &x, &ops::fill(&gpu, [1], 2.0)).expect("mul");
            work.store(&copy, stretch(i));
            work.sum_over_ranks(stretch(i));
            if i == 1 {
                x = ops::all_reduce(&x);
            }
        }
        // The effect reads all of it and writes it elsewhere.
        let all = Tensor::from_slice(&gpu, Slice::whole(flat.clone()), [words], DType::F32);
        let into = gpu.alloc("into", words).expect("a buffer");
        let into = Tensor::from_slice(&gpu, Slice::whole(into), [words], DType::F32);
        let mut program = evenkeel_kernels::elementwise::copy(words as u32, &gpu.caps);
        program.calls[0].args = vec![Arg::In(0), Arg::In(1)];
        work.effect(Effect { name: "copy", program, args: vec![all, into.clone()] });
        let mut workspace = Workspace::new(&gpu);
        workspace.group = Some(group.clone());
        let plan = Plan::build(&mut workspace, work).expect("a plan");
        plan.run(&StepUniform::default()).expect("a run");
        let first = plan.read::<f32>(&into).expect("values");
        plan.run(&StepUniform::default()).expect("a run");
        assert_eq!(first, plan.read::<f32>(&into).expect("values"));
        first
    });
    // x² is 1 and 4, x⁴ 1 and 16, their sum 17, squared 289 on both.
    for values in found {
        let each: Vec<f32> = values.chunks(64).map(|c| c[0]).collect();
        assert_eq!(each, [2.0 * 5.0, 2.0 * 17.0, 2.0 * 578.0]);
        assert!(values.chunks(64).all(|c| c.iter().all(|v| *v == c[0])));
    }
}
