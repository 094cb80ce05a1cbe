//! What becomes of gradients: those of several batches are one large batch's, clipped ones have the norm that
//! 64-bit arithmetic gives, averages of weights follow as PyTorch's do, and a run broken off goes on to the
//! same bits.

mod common;
#[path = "common/nets.rs"]
mod nets;
#[path = "common/run.rs"]
mod run;

use evenkeel::check::golden::made_record;
use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::graph::{Effect, Plan, Work, Workspace};
use evenkeel::loss::ObjectiveSpec;
use evenkeel::nn::{BiasStart, Mode, Named, NormKind};
use evenkeel::optim::{Sgd, SgdOptions};
use evenkeel::tensor::Tensor;
use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;
use evenkeel_kernels::optim as kernels;
use nets::{images, network};
use run::{bytes, done, folder, resume, text, train};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

fn session(gpu: &Rc<Gpu>, sgd: SgdOptions) -> Session {
    let spec = network("small", NormKind::Bn, BiasStart::Zero);
    Session::new(gpu, &spec, &ObjectiveSpec::default(), sgd, 0).expect("a session")
}

/// The largest difference of two networks' tensors, relative to each tensor's largest value.
fn apart(a: &[Named], b: &[Named]) -> f64 {
    assert_eq!(a.len(), b.len());
    let of = |(x, y): (&Named, &Named)| {
        assert_eq!(x.0, y.0);
        let largest = y.2.iter().fold(1e-6f64, |m, v| m.max(f64::from(v.abs())));
        x.2.iter().zip(&y.2).fold(0.0f64, |m, (x, y)| {
            assert!(x.is_finite() && y.is_finite());
            m.max(f64::from((x - y).abs()) / largest)
        })
    };
    a.iter().zip(b).map(of).fold(0.0, f64::max)
}

#[test]
fn several_batches_are_one_large_one_where_nothing_depends_on_the_batch() {
    let gpu = common::gpu();
    let set = DeviceSet::upload(&gpu, &images(4, 1.0).train).expect("a set");
    // The running statistics normalize: each image alone decides what becomes of it.
    let run = |batches: &[usize]| {
        let accumulate = batches.len() > 1;
        let sgd =
            SgdOptions { momentum: 0.9, accumulate, clip_norm: Some(1.0), ..Default::default() };
        let mut session = session(&gpu, sgd);
        session.backbone = Mode::Eval;
        let all: usize = batches.iter().sum();
        for step in 0..3u32 {
            let mut first = step * all as u32;
            let told: Vec<(usize, StepUniform)> = (0..)
                .zip(batches)
                .map(|(batch, n)| {
                    let weight = *n as f32 / all as f32;
                    let learning_rate = 0.1;
                    let uniform = StepUniform {
                        learning_rate,
                        step,
                        first,
                        weight,
                        batch,
                        ..Default::default()
                    };
                    first += *n as u32;
                    (*n, uniform)
                })
                .collect();
            session.step(&set, &told, true).expect("a step");
        }
        let losses = session.sgd.losses(&gpu, 0, 3).expect("losses");
        let norms = session.sgd.norms(&gpu, 0, 3).expect("norms").expect("they are clipped");
        let gradients = session.params.export_gradients().expect("gradients");
        (losses, norms, gradients, session.params.export(true).expect("tensors"))
    };
    let (losses, norms, gradients, values) = run(&[12]);
    for batches in [&[4, 4, 4][..], &[5, 5, 2], &[7, 5]] {
        let (found, of_found, sums, after) = run(batches);
        let close = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()) && a.len() == b.len()
        };
        assert!(close(&found, &losses), "{batches:?}: {found:?}, {losses:?}");
        assert!(close(&of_found, &norms), "{batches:?}: {of_found:?}, {norms:?}");
        assert!(apart(&sums, &gradients) < 1e-4, "{batches:?}: {}", apart(&sums, &gradients));
        assert!(apart(&after, &values) < 1e-4, "{batches:?}: {}", apart(&after, &values));
    }
}

#[test]
fn a_batch_that_is_not_finite_stops_the_whole_step() {
    let gpu = common::gpu();
    let set = DeviceSet::upload(&gpu, &images(4, 1.0).train).expect("a set");
    let mut session = session(&gpu, SgdOptions { accumulate: true, ..Default::default() });
    let mut start = session.params.export(false).expect("tensors");
    start.iter_mut().find(|(name, ..)| name == "linear.bias").expect("a bias").2[0] = f32::NAN;
    session.params.import(&start).expect("fitting tensors");
    let batch = |batch| {
        let uniform =
            StepUniform { learning_rate: 0.1, step: 4, weight: 0.5, batch, ..Default::default() };
        (4, uniform)
    };
    session.step(&set, &[batch(0), batch(1)], true).expect("a step");
    let alarm = session.sgd.alarm(&gpu, &session.params).expect("a flag").expect("an alarm");
    assert_eq!((alarm.step, alarm.loss), (4, true));
    assert!(alarm.parameter.is_some());
    let raw = |tensors: &[Named]| -> Vec<u32> {
        tensors.iter().flat_map(|(.., v)| v.iter().map(|x| x.to_bits())).collect()
    };
    // Statistics too, though the first batch's plan had no update.
    assert_eq!(raw(&session.params.export(false).expect("tensors")), raw(&start));
}

/// Runs `effects` on the device once.
fn launch(gpu: &Rc<Gpu>, effects: Vec<Effect>, uniform: StepUniform) {
    let mut work = Work::new();
    for effect in effects {
        work.effect(effect);
    }
    let plan = Plan::build(&mut Workspace::new(gpu), work).expect("a plan");
    plan.run(&uniform).expect("a run");
}

fn noise(count: usize, scale: f64, key: u64) -> Vec<f32> {
    let word = |i| evenkeel::check::cases::splitmix64(key.wrapping_mul(1 << 40) + i);
    let unit = |i| (word(i) >> 11) as f64 / (1u64 << 53) as f64;
    (0..count as u64).map(|i| (scale * (unit(i) - 0.5)) as f32).collect()
}

#[test]
fn clipping_is_that_of_64_bit_arithmetic() {
    let gpu = common::gpu();
    // One block; many workgroups; more than one part; norms below, at about and far above the limit.
    for (parts, scale) in [
        (&[64][..], 1e-3),
        (&[64], 10.0),
        (&[200_000], 0.01),
        (&[70_400, 640, 64], 300.0),
        (&[640], 0.0),
    ] {
        let limit = 2.5f32;
        let values: Vec<Vec<f32>> = (0..).zip(parts).map(|(i, n)| noise(*n, scale, i)).collect();
        let tensors: Vec<Tensor> =
            values.iter().map(|v| Tensor::new(&gpu, v, [v.len()]).expect("a tensor")).collect();
        let counts: Vec<u32> =
            parts.iter().map(|n| kernels::square_sums(*n as u32, &gpu.caps)).collect();
        let sums = counts.iter().sum::<u32>() as usize;
        let sums = Tensor::new(&gpu, &vec![f32::NAN; sums], [sums]).expect("a tensor");
        let ring = Tensor::new(&gpu, &[0.0; 8], [8]).expect("a tensor");
        let (mut effects, mut first) = (Vec::new(), 0);
        for (tensor, count) in tensors.iter().zip(&counts) {
            let program = kernels::square_sum(tensor.shape().len() as u32, first, &gpu.caps);
            first += count;
            effects.push(Effect { name: "sum", program, args: vec![tensor.clone(), sums.clone()] });
        }
        for tensor in &tensors {
            let program = kernels::clip(tensor.shape().len() as u32, limit, &gpu.caps);
            let args = vec![tensor.clone(), sums.clone(), ring.clone()];
            effects.push(Effect { name: "clip", program, args });
        }
        launch(&gpu, effects, StepUniform { step: 11, ..Default::default() });
        let norm = values.iter().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let told = ring.to_vec().expect("the ring");
        assert!((f64::from(told[3]) - norm).abs() <= 1e-6 * norm, "{} {norm}", told[3]);
        assert!(told.iter().enumerate().all(|(i, v)| i == 3 || *v == 0.0), "{told:?}");
        let factor = (f64::from(limit) / (norm + 1e-6)).min(1.0);
        for (tensor, before) in tensors.iter().zip(&values) {
            for (after, before) in tensor.to_vec().expect("gradients").iter().zip(before) {
                let expected = f64::from(*before) * factor;
                let off = (f64::from(*after) - expected).abs();
                assert!(off <= 2e-6 * expected.abs(), "{after} {expected}");
                assert!(factor < 1.0 || after == before);
            }
        }
    }
}

#[test]
fn sums_and_averages_are_those_of_64_bit_arithmetic() {
    let gpu = common::gpu();
    for count in [1usize, 7, 64, 40_000] {
        let [total, part, other] = [1, 2, 3].map(|key| noise(count, 4.0, key));
        let [a, b, c] =
            [&total, &part, &other].map(|v| Tensor::new(&gpu, v, [count]).expect("a tensor"));
        let sum = |of: &Tensor| Effect {
            name: "accumulate",
            program: kernels::accumulate(count as u32, &gpu.caps),
            args: vec![a.clone(), of.clone()],
        };
        launch(&gpu, vec![sum(&b)], StepUniform { weight: 0.3, batch: 0, ..Default::default() });
        launch(&gpu, vec![sum(&c)], StepUniform { weight: 0.7, batch: 1, ..Default::default() });
        for ((found, x), y) in a.to_vec().expect("sums").iter().zip(&part).zip(&other) {
            let expected = f64::from(0.3f32) * f64::from(*x) + f64::from(0.7f32) * f64::from(*y);
            assert!((f64::from(*found) - expected).abs() <= 5e-7, "{found} {expected}");
        }
        let flag = |set| Tensor::integers(&gpu, &[set, 0, 0, 0], [4]).expect("a flag");
        let ema = |flag| Effect {
            name: "ema",
            program: kernels::ema(count as u32, 0.99, &gpu.caps),
            args: vec![b.clone(), c.clone(), flag],
        };
        launch(&gpu, vec![ema(flag(1))], StepUniform::default());
        assert_eq!(b.to_vec().expect("averages"), part, "nothing follows an alarm");
        launch(&gpu, vec![ema(flag(0)), ema(flag(0))], StepUniform::default());
        for ((found, x), y) in b.to_vec().expect("averages").iter().zip(&part).zip(&other) {
            let expected = f64::from(*y) + 0.99f64.powi(2) * (f64::from(*x) - f64::from(*y));
            assert!((f64::from(*found) - expected).abs() <= 1e-6, "{found} {expected}");
        }
    }
}

/// Records 0 to 39 of the made images as CIFAR-10's files, which the committed trajectories use.
fn made_images(folder: &Path) {
    let records = |from: u64, to: u64| (from..to).flat_map(made_record).collect::<Vec<u8>>();
    for file in 1..=5 {
        let path = folder.join(format!("data_batch_{file}.bin"));
        std::fs::write(path, records(8 * file - 8, 8 * file)).expect("a file");
    }
    std::fs::write(folder.join("test_batch.bin"), records(40, 50)).expect("a file");
}

fn tensor(path: &Path, name: &str) -> Vec<f32> {
    let file = Checkpoint::load(path).unwrap_or_else(|e| panic!("{e}"));
    match file.get(name) {
        Some((_, TensorData::F32(values))) => values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn several_batches_clipped_and_averaged_follow_pytorchs_trajectory() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/trajectory");
    let read = std::fs::read(golden.join("updates.json")).expect("a trajectory");
    let torch: Value = serde_json::from_slice(&read).expect("JSON");
    let images = folder();
    made_images(images.path());
    let init = golden.join(torch["init"].as_str().expect("an init file"));
    let said = |key: &str| torch[key].to_string();
    for run in torch["runs"].as_array().expect("runs") {
        let out = folder();
        let lr = run["lr"].as_f64().expect("a rate");
        let given = [
            ("--data", text(images.path()).to_string()),
            ("--init", text(&init).to_string()),
            ("--lr", lr.to_string()),
            ("--batch-size", said("batch_size")),
            ("--accumulate", said("accumulate")),
            ("--clip-norm", said("clip_norm")),
            ("--ema", said("ema")),
            ("--max-steps", said("steps")),
        ];
        let mut args = "--dataset cifar10 --model small --norm nbn --imbalance 1 --shuffle none \
             --augment none --schedule constant --weight-decay 2e-4"
            .split_whitespace()
            .collect::<Vec<_>>();
        args.extend(given.iter().flat_map(|(flag, value)| [*flag, value.as_str()]));
        let events = train(&args, out.path());
        let told: Vec<&Value> = events.iter().filter(|e| e["event"] == "step").collect();
        let list = |key: &str| -> Vec<f64> {
            let values = run[key].as_array().expect("numbers").iter();
            values.map(|v| v.as_f64().expect("a number")).collect()
        };
        let (losses, norms) = (list("losses_f64"), list("norms_f64"));
        assert_eq!(told.len(), losses.len());
        let bound = if lr < 1e-3 { 1e-4 } else { 3e-4 };
        for ((line, loss), norm) in told.iter().zip(&losses).zip(&norms) {
            let found = ["loss", "gradient_norm"].map(|key| line[key].as_f64().expect("a number"));
            assert!((found[0] - loss).abs() <= bound * loss, "lr {lr}: {line}, PyTorch {loss}");
            assert!(
                (found[1] - norm).abs() <= 10.0 * bound * norm,
                "lr {lr}: {line}, PyTorch {norm}"
            );
        }
        let last = out.path().join("checkpoint/last.safetensors");
        for (name, expected) in run["averages_f64"].as_object().expect("tensors") {
            let expected =
                expected.as_array().expect("numbers").iter().map(|v| v.as_f64().expect("a number"));
            let found = tensor(&last, name);
            let largest = expected.clone().fold(0.0f64, |m, v| m.max(v.abs()));
            for (found, expected) in found.iter().zip(expected) {
                let off = (f64::from(*found) - expected).abs();
                assert!(off <= 1e-4 * largest, "lr {lr}, {name}: {found}, PyTorch {expected}");
            }
        }
    }
}

/// Two epochs of 168 images: three steps of 64 and one of 40, of 16 and once 8.
const SEVERAL: [&str; 16] = [
    "--train-per-class",
    "40",
    "--imbalance",
    "4",
    "--test-per-class",
    "5",
    "--epochs",
    "2",
    "--batch-size",
    "16",
    "--accumulate",
    "4",
    "--clip-norm",
    "0.5",
    "--ema",
    "0.9",
];

#[test]
fn a_run_of_several_batches_a_step_resumes_to_the_same_bits() {
    let whole = folder();
    let events = train(&SEVERAL, whole.path());
    let (steps, epochs): (Vec<&Value>, Vec<&Value>) = (
        events.iter().filter(|e| e["event"] == "step").collect(),
        events.iter().filter(|e| e["event"] == "epoch").collect(),
    );
    let count = done(&events)["step"].as_u64().expect("a number") as usize;
    assert_eq!((steps.len(), epochs.len()), (count, 2));
    let images = {
        let file =
            Checkpoint::load(&whole.path().join("checkpoint/last.safetensors")).expect("a file");
        let about: Value = serde_json::from_str(&file.meta["about"]).expect("JSON");
        let counts = about["counts"].as_array().expect("counts").iter();
        let images: u64 = counts.map(|n| n.as_u64().expect("a count")).sum();
        let tracked = file.get("bn1.num_batches_tracked").map(|(_, data)| data.clone());
        // Statistics follow every batch.
        assert_eq!(tracked, Some(TensorData::I64(vec![2 * images.div_ceil(16) as i64])));
        images as usize
    };
    assert_eq!(count, 2 * images.div_ceil(64));
    // An epoch's loss is the mean over its images.
    let mean = |steps: &[&Value]| {
        let sizes = (0..images).step_by(64).map(|first| 64.min(images - first));
        let losses = steps.iter().map(|s| s["loss"].as_f64().expect("a loss"));
        losses.zip(sizes).map(|(l, n)| l * n as f64).sum::<f64>() / images as f64
    };
    let first = epochs[0]["loss"].as_f64().expect("a loss");
    assert!((mean(&steps[..count / 2]) - first).abs() < 1e-9);

    let broken = folder();
    let within = (count / 2 + 1).to_string();
    train(&[&SEVERAL[..], &["--max-steps", &within]].concat(), broken.path());
    resume(broken.path());
    // The last one's metadata name the optimizer's file by its checksum.
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(bytes(broken.path(), name) == bytes(whole.path(), name), "{name} differs");
    }
    // What is evaluated and saved are the averages: `eval` finds the accuracy that the run told.
    let last = whole.path().join("checkpoint/last.safetensors");
    let eval = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["eval", text(&last), "--json"])
        .output()
        .expect("the program starts");
    assert!(eval.status.success(), "{}", String::from_utf8_lossy(&eval.stderr));
    let eval: Value = serde_json::from_slice(&eval.stdout).expect("JSON");
    let told = &epochs[1]["test"]["overall"];
    let found = ["overall", "accuracy"].iter().find_map(|k| eval["test"].get(k).or(eval.get(k)));
    assert_eq!(found, Some(told), "{eval}");
    let sgd = Checkpoint::load_own(&last).expect("a file");
    let name = &sgd.meta["optimizer"];
    let state = Checkpoint::load(&whole.path().join("checkpoint").join(name)).expect("a file");
    let own = state.get("optimizer.value.linear.weight").expect("the weights that are trained");
    assert_ne!(own.1, &TensorData::F32(tensor(&last, "linear.weight")));
}

#[test]
fn a_step_without_a_whole_epoch_is_refused_before_anything_is_written() {
    let out = folder();
    let place = out.path().join("run");
    let args = ["train", "--drop-last", "--accumulate", "100", "--out", text(&place)];
    let ran = Command::new(env!("CARGO_BIN_EXE_evenkeel")).args(args).output().expect("it starts");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains("drop_last leaves no step") && said.contains("6400"), "{said}");
    assert!(!place.exists(), "{said}");
}

#[test]
fn a_number_that_is_not_finite_in_a_step_of_several_batches_is_traced() {
    let out = folder();
    let args =
        ["--lr", "1e30", "--accumulate", "3", "--epochs", "1", "--batch-size", "8", "--trace-nan"];
    let ran = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args([
            "train",
            "--train-per-class",
            "20",
            "--imbalance",
            "4",
            "--out",
            text(&out.path().join("run")),
        ])
        .args(args)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("not finite") && said.contains("kernels/"), "{said}");
}

// The ring of norms is read as that of losses.
const _: () = assert!(Sgd::RING > 32);
