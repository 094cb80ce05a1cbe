//! Training as a whole: PyTorch's losses, the same bits from the same seed however a run is broken
//! off, flat memory, and plans that compute what their ops compute alone.

mod common;
#[path = "common/run.rs"]
mod run;

use evenkeel::check::golden::made_record;
use evenkeel::check::run as run_check;
use evenkeel::data::{self, DataSpec};
use evenkeel::gpu::{Gpu, StepUniform, Watchdog};
use evenkeel::graph::{evaluate, grad, grad_again};
use evenkeel::loss::ObjectiveSpec;
use evenkeel::nn::{BiasStart, Experts, Head, NormKind, NormLayers, Norms, Projected, Spec};
use evenkeel::ops;
use evenkeel::optim::SgdOptions;
use evenkeel::tensor::{Segment, Tensor};
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use run::{Run, SHORT, SHORT_STEPS, bytes, done, folder, resume, same_bits, text, train, unbroken};
use serde_json::Value;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use tempfile::TempDir;

fn losses(events: &[Value]) -> Vec<f64> {
    let steps = events.iter().filter(|e| e["event"] == "step");
    steps.map(|e| e["loss"].as_f64().expect("a loss")).collect()
}

/// Records 0 to 39 of the made images as CIFAR-10's files, which the committed trajectories use.
fn made_images() -> TempDir {
    let folder = folder();
    let records = |from: u64, to: u64| (from..to).flat_map(made_record).collect::<Vec<u8>>();
    for file in 1..=5 {
        let first = (file - 1) * 8;
        let path = folder.path().join(format!("data_batch_{file}.bin"));
        std::fs::write(path, records(first, first + 8)).expect("a file");
    }
    std::fs::write(folder.path().join("test_batch.bin"), records(40, 50)).expect("a file");
    folder
}

/// The worst relative error of a step may be `first` at step 1 and `later` after it.
fn same_as_pytorch(name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/trajectory");
    let read = std::fs::read(golden.join(format!("{name}.json"))).expect("a trajectory");
    let torch: Value = serde_json::from_slice(&read).expect("JSON");
    let images = made_images();
    let init = golden.join(torch["init"].as_str().expect("an init file"));
    for run in torch["runs"].as_array().expect("runs") {
        let rate = run["lr"].as_f64().expect("a rate");
        let later = if rate < 1e-3 { 1e-4 } else { 3e-4 };
        let out = folder();
        let lr = rate.to_string();
        let found = losses(&train(
            &[
                "--dataset",
                "cifar10",
                "--data",
                text(images.path()),
                "--init",
                text(&init),
                "--model",
                "small",
                "--norm",
                torch["norm"].as_str().expect("a norm"),
                "--head",
                torch["head"].as_str().expect("a head"),
                "--imbalance",
                "1",
                "--shuffle",
                "none",
                "--augment",
                "none",
                "--schedule",
                "constant",
                "--lr",
                &lr,
                "--weight-decay",
                "2e-4",
                "--batch-size",
                "8",
                "--max-steps",
                "5",
            ],
            out.path(),
        ));
        let expected = run["losses_f64"].as_array().expect("losses");
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let expected = expected.as_f64().expect("a loss");
            let error = (found - expected).abs() / expected.abs();
            let bound = if i == 0 { 1e-5 } else { later };
            assert!(
                error <= bound,
                "{name}, lr {lr}, step {}: {found}, PyTorch has {expected}",
                i + 1
            );
        }
    }
}

#[test]
fn batch_norm_follows_pytorchs_trajectory() {
    same_as_pytorch("bn");
}

#[test]
fn normalized_batch_norm_follows_pytorchs_trajectory() {
    same_as_pytorch("nbn");
}

#[test]
fn logit_rectification_follows_pytorchs_trajectory() {
    same_as_pytorch("nbn-lr");
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let again = folder();
    train(&SHORT, again.path());
    same_bits(again.path(), "a second run");
}

#[test]
fn another_seed_gives_other_bits() {
    let other = folder();
    train(&[&SHORT[..], &["--seed", "1", "--max-steps", "2"]].concat(), other.path());
    assert!(bytes(other.path(), "last.safetensors") != bytes(unbroken(), "last.safetensors"));
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    let out = folder();
    let mut run = Run::start(&SHORT, out.path());
    // Anywhere between the second epoch's first step and the third's last but two.
    let step = 15 + RandomState::new().hash_one(0) % (SHORT_STEPS - 17);
    run.until_step(step);
    run.child.kill().expect("the program is killed");
    run.child.wait().expect("the program ends");
    assert!(done(&resume(out.path()))["step"] == SHORT_STEPS);
    same_bits(out.path(), &format!("a kill at step {step}"));
}

#[test]
fn a_run_killed_before_its_first_checkpoint_starts_again() {
    let out = folder();
    let mut run = Run::start(&SHORT, out.path());
    run.until_step(3);
    run.child.kill().expect("the program is killed");
    run.child.wait().expect("the program ends");
    resume(out.path());
    same_bits(out.path(), "a kill at step 3");
}

#[test]
fn a_run_stopped_by_max_steps_resumes_to_the_same_bits() {
    let out = folder();
    // Once within an epoch, once at an epoch's end.
    let events = train(&[&SHORT[..], &["--max-steps", "19"]].concat(), out.path());
    assert_eq!(done(&events)["step"], 19);
    let events = train(&["--resume", "--max-steps", "28"], out.path());
    assert_eq!(done(&events)["step"], 28);
    resume(out.path());
    same_bits(out.path(), "--max-steps 19 and 28");
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_and_the_run_resumes_to_the_same_bits() {
    let out = folder();
    let mut run = Run::start(&SHORT, out.path());
    run.until_step(18);
    let sent = Command::new("kill").args(["-INT", &run.child.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
    let (status, _) = run.finish();
    assert_eq!(status.code(), Some(130));
    let first = resume(out.path()).into_iter().find(|e| e["event"] == "step").expect("a step");
    assert!(first["step"].as_u64() > Some(18), "steps done are done again: {first}");
    same_bits(out.path(), "Ctrl-C");
}

#[test]
fn memory_is_flat_after_the_first_steps() {
    let peak = |steps: &str| {
        let out = folder();
        let flags = ["--batch-size", "4", "--max-steps", steps];
        let events = train(&[&SHORT[..8], &flags].concat(), out.path());
        done(&events)["gpu_bytes_peak"].as_u64().expect("bytes")
    };
    assert_eq!(peak("2"), peak("30"));
}

/// Losses of three steps at a small rate, with or without fusion.
fn first_losses(gpu: &Rc<Gpu>, kind: NormKind, head: Head, fuse: bool) -> Vec<f32> {
    let spec = Spec {
        model: "small",
        classes: 10,
        head,
        experts: Experts::ONE,
        norms: Norms::new(kind, NormLayers::LastStage, BiasStart::Random),
        projected: Projected::NONE,
    };
    let sgd = SgdOptions { momentum: 0.9, weight_decay: 2e-4, ..SgdOptions::default() };
    let splits = data::load(&DataSpec {
        train_per_class: Some(10),
        test_per_class: Some(1),
        imbalance: 2.0,
        ..DataSpec::default()
    })
    .expect("a data set");
    let set = DeviceSet::upload(gpu, &splits.train).expect("a set on the device");
    let mut session =
        Session::new(gpu, &spec, &ObjectiveSpec::default(), sgd, 0).expect("a session");
    session.fuse = fuse;
    for step in 0..3 {
        let plan = session.train_plan(&set, 16, true).expect("a plan");
        let learning_rate = 1e-3;
        plan.run(&StepUniform { learning_rate, step, first: step * 16, ..Default::default() })
            .expect("a step");
    }
    session.sgd.losses(gpu, 0, 3).expect("losses")
}

#[test]
fn fused_and_unfused_steps_have_the_same_losses() {
    let gpu = common::gpu();
    for (kind, head) in [(NormKind::Bn, Head::Linear), (NormKind::Nbn, Head::Lr)] {
        let fused = first_losses(&gpu, kind, head, true);
        let unfused = first_losses(&gpu, kind, head, false);
        for (a, b) in fused.iter().zip(&unfused) {
            assert!(a.is_finite() && (a - b).abs() <= 1e-5 * b.abs(), "{fused:?} {unfused:?}");
        }
    }
}

#[test]
fn steps_cut_up_for_a_watchdog_have_the_same_losses() {
    let gpu = common::gpu();
    let cut = gpu.watched_by(Watchdog { seconds: 1e-4 });
    let whole = first_losses(&gpu, NormKind::Nbn, Head::Linear, true);
    assert_eq!(first_losses(&cut, NormKind::Nbn, Head::Linear, true), whole);
    assert!(cut.kernels_made().iter().filter(|form| form.ends_with("+pieces")).count() > 10);
}

#[test]
fn steps_by_any_convolution_kernel_have_the_same_losses() {
    let gpu = common::gpu();
    let usual = first_losses(&gpu, NormKind::Nbn, Head::Linear, true);
    for variant in run_check::variants("conv2d") {
        let other = first_losses(&gpu.preferring(variant), NormKind::Nbn, Head::Linear, true);
        let near = if variant.ends_with("f16") { 2e-3 } else { 1e-5 };
        for (a, b) in usual.iter().zip(&other) {
            assert!((a - b).abs() <= near * b.abs(), "{variant}: {usual:?} {other:?}");
        }
    }
}

/// Rows and columns of the random graphs' values: square, so that any two multiply.
const SIDE: usize = 6;

/// One op on earlier values, chosen by their position modulo how many there are.
#[derive(Clone, Debug)]
enum Choice {
    Unary(&'static str, usize),
    Binary(&'static str, usize, usize),
    Matmul(usize, usize),
    /// a + (sum of b over an axis, broadcast)
    SumAxis(usize, usize, usize),
    /// b as one row, and back
    Reshape(usize),
}

fn choice() -> impl Strategy<Value = Choice> {
    let any = 0..64usize;
    let unary = prop::sample::select(vec!["tanh", "sigmoid", "relu", "neg", "softplus"]);
    let binary = prop::sample::select(vec!["add", "sub", "mul", "maximum"]);
    prop_oneof![
        (unary, any.clone()).prop_map(|(f, a)| Choice::Unary(f, a)),
        (binary, any.clone(), any.clone()).prop_map(|(f, a, b)| Choice::Binary(f, a, b)),
        (any.clone(), any.clone()).prop_map(|(a, b)| Choice::Matmul(a, b)),
        (any.clone(), any.clone(), 0..2usize).prop_map(|(a, b, axis)| Choice::SumAxis(a, b, axis)),
        any.prop_map(Choice::Reshape),
    ]
}

fn apply(choice: &Choice, values: &[Tensor]) -> Tensor {
    let value = |i: &usize| &values[i % values.len()];
    let found = match choice {
        Choice::Unary(f, a) => ops::unary(f, value(a)),
        Choice::Binary(f, a, b) => ops::binary(f, value(a), value(b)),
        Choice::Matmul(a, b) => ops::matmul(value(a), value(b)),
        Choice::SumAxis(a, b, axis) => {
            ops::sum(value(b), &[*axis], true).and_then(|sum| ops::binary("add", value(a), &sum))
        }
        Choice::Reshape(a) => ops::reshape(value(a), [SIDE * SIDE])
            .and_then(|flat| ops::unary("neg", &flat))
            .and_then(|flat| ops::reshape(&flat, [SIDE, SIDE])),
    };
    found.expect("ops that fit")
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_plan_that_reuses_buffers_computes_what_each_op_computes_alone() {
    let gpu = common::gpu();
    let matrix = |data: &[f32]| Tensor::new(&gpu, data, [SIDE, SIDE]).expect("a tensor");
    let element = -1.0f32..1.0;
    let leaves = prop::collection::vec(prop::collection::vec(element, SIDE * SIDE), 2..4);
    let strategy = (leaves, prop::collection::vec(choice(), 3..14));
    let config = ProptestConfig { cases: 20, failure_persistence: None, ..Default::default() };
    let outcome = TestRunner::new(config).run(&strategy, |(leaves, choices)| {
        // Each op on data read back from the one before.
        let mut alone: Vec<Tensor> = leaves.iter().map(|l| matrix(l)).collect();
        let mut expected = Vec::new();
        for choice in &choices {
            let found = apply(choice, &alone).to_vec().expect("a result");
            alone.push(matrix(&found));
            expected.push(bits(found));
        }
        // All in one graph: the last value wanted alone, then every value.
        let mut values: Vec<Tensor> = leaves.iter().map(|l| matrix(l)).collect();
        let (first, second) = choices.split_at(choices.len() / 2);
        let segments = [first, second].map(|part| {
            let record = || part.iter().for_each(|choice| values.push(apply(choice, &values)));
            Segment::of(record).1
        });
        let last = values.last().expect("a value");
        prop_assert_eq!(Some(&bits(last.to_vec().expect("a result"))), expected.last());
        let made: Vec<&Tensor> = values[leaves.len()..].iter().collect();
        prop_assert_eq!(&evaluate(&made).expect("results"), &expected);
        // Gradients: alone, then beside every value.
        let loss = ops::sum(last, &[], false).expect("a sum");
        let inputs: Vec<&Tensor> = values[..leaves.len()].iter().collect();
        let gradients = grad(&loss, &inputs).expect("gradients");
        // From values computed again: either half of the graph is a segment.
        let again = grad_again(&loss, &inputs, &segments).expect("gradients");
        for (gradient, again) in gradients.iter().zip(&again) {
            let read =
                |g: &Option<Tensor>| g.as_ref().map(|g| bits(g.to_vec().expect("a gradient")));
            prop_assert_eq!(read(gradient), read(again));
        }
        for gradient in gradients.into_iter().flatten() {
            let alone = bits(gradient.to_vec().expect("a gradient"));
            let wanted: Vec<&Tensor> = made.iter().copied().chain([&gradient]).collect();
            let beside = evaluate(&wanted).expect("results").pop();
            prop_assert_eq!(Some(alone), beside);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}
