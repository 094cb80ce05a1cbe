//! Mixed precision: a scaled loss changes no bit, a step whose gradients leave the range is left out and halves the
//! scale, products of halves train the same way, and a run broken off goes on to the same bits.

mod common;
#[path = "common/nets.rs"]
mod nets;
#[path = "common/run.rs"]
mod run;

use common::gpu;
use evenkeel::gpu::{Binding, Gpu, Slice, StepUniform};
use evenkeel::loss::ObjectiveSpec;
use evenkeel::nn::{BiasStart, Named, NormKind};
use evenkeel::optim::{Scaled, SgdOptions};
use evenkeel::train::checkpoint::Checkpoint;
use evenkeel::train::config::{Activations, Precision};
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;
use evenkeel_kernels::optim as kernels;
use nets::{images, network};
use run::{bytes, done, folder, resume, train};
use std::rc::Rc;

const BATCH: usize = 16;

/// A network whose zero bias has gradients of 1e6 (NBN), with all that a step can do.
fn session(gpu: &Rc<Gpu>, precision: Precision) -> (Session, DeviceSet) {
    let spec = network("small", NormKind::Nbn, BiasStart::Zero);
    let sgd = SgdOptions {
        momentum: 0.9,
        weight_decay: 2e-4,
        loss_scaling: precision == Precision::Mixed,
        ..SgdOptions::default()
    };
    let set = DeviceSet::upload(gpu, &images(20, 2.0).train).expect("a set on the device");
    let mut session =
        Session::new(gpu, &spec, &ObjectiveSpec::default(), sgd, 0).expect("a session");
    session.activations = Activations::F16;
    (session, set)
}

fn step(session: &mut Session, set: &DeviceSet, step: u32, learning_rate: f32) {
    let plan = session.train_plan(set, BATCH, true).expect("a plan");
    let first = step % 5 * BATCH as u32;
    plan.run(&StepUniform { learning_rate, step, first, ..Default::default() }).expect("a step");
}

fn raw(tensors: &[Named]) -> Vec<u32> {
    tensors.iter().flat_map(|(.., v)| v.iter().map(|x| x.to_bits())).collect()
}

fn state(session: &Session) -> Vec<u32> {
    raw(&session.params.export(true).expect("tensors"))
}

#[test]
fn a_power_of_two_on_the_loss_changes_no_bit() {
    let gpu = gpu();
    let run = |precision| {
        let (mut session, set) = session(&gpu, precision);
        (0..10).for_each(|i| step(&mut session, &set, i, 0.01));
        let gradients = session.params.export_gradients().expect("gradients");
        let losses = session.sgd.losses(&gpu, 0, 10).expect("losses");
        (losses, raw(&gradients), state(&session))
    };
    assert!(run(Precision::F32) == run(Precision::Mixed));
}

#[test]
fn a_step_whose_gradients_leave_the_range_is_left_out() {
    let gpu = gpu();
    let (mut session, set) = session(&gpu, Precision::Mixed);
    let scaled = |session: &Session| session.sgd.scaled(&gpu).expect("a scale").expect("scaling");
    assert_eq!(scaled(&session), Scaled::default());
    step(&mut session, &set, 0, 0.01);
    assert_eq!(scaled(&session), Scaled { finite: 1, ..Scaled::default() });
    let before = state(&session);
    session.sgd.scale_as(&gpu, Scaled { scale: 2f32.powi(127), finite: 5, skipped: 0 });
    step(&mut session, &set, 1, 0.01);
    assert_eq!(scaled(&session), Scaled { scale: 2f32.powi(126), finite: 0, skipped: 1 });
    assert!(state(&session) == before, "parameters, statistics and momentum stay");
    assert_eq!(session.sgd.alarm(&gpu, &session.params).expect("a flag"), None);
    // The scale falls until the gradients, of which a zero bias has some of 1e6, are floats.
    let mut steps = 2;
    while state(&session) == before {
        step(&mut session, &set, steps, 0.01);
        steps += 1;
        assert!(steps < 140, "no scale is small enough");
    }
    let now = scaled(&session);
    assert_eq!((now.finite, now.skipped), (1, steps - 2));
    assert_eq!(now.scale, 2f32.powi(127 - now.skipped as i32));
    let losses = session.sgd.losses(&gpu, 0, steps).expect("losses");
    assert!(losses.iter().all(|l| l.is_finite()), "{losses:?}");
}

#[test]
fn a_loss_that_is_not_finite_still_stops_the_run() {
    let gpu = gpu();
    let (mut session, set) = session(&gpu, Precision::Mixed);
    let mut start = session.params.export(false).expect("tensors");
    start.iter_mut().find(|(name, ..)| name == "linear.bias").expect("a bias").2[0] = f32::NAN;
    session.params.import(&start).expect("fitting tensors");
    step(&mut session, &set, 7, 0.01);
    let alarm = session.sgd.alarm(&gpu, &session.params).expect("a flag").expect("an alarm");
    assert_eq!((alarm.step, alarm.loss), (7, true));
}

/// What becomes of scale, counts and flag.
fn rescaled(
    gpu: &Rc<Gpu>,
    scale: f32,
    counts: [u32; 2],
    flag: [u32; 4],
) -> (f32, Vec<u32>, Vec<u32>) {
    let slice = |name, words: &[u32]| Slice::whole(gpu.upload(name, words).expect("a buffer"));
    let all = [slice("scale", &[scale.to_bits()]), slice("counts", &counts), slice("flag", &flag)];
    let launch = &kernels::rescale(kernels::SCALE_GROWS).calls[0].launch;
    let dispatch = gpu.bind(launch, &all.each_ref().map(Binding::Storage)).expect("a pipeline");
    gpu.submit(&[dispatch]).expect("a submit");
    let [scale, counts, flag] = all.map(|s| gpu.read::<u32>(&s).expect("words"));
    (f32::from_bits(scale[0]), counts, flag)
}

#[test]
fn the_scale_follows_what_was_found() {
    let gpu = gpu();
    let fine = [0; 4];
    let beyond = [1, 5, 0, 9];
    let (grows, most) = kernels::SCALE_GROWS;
    let cases = [
        // scale, counts, flag → scale, counts, flag
        ((1024.0, [3, 2], fine), (1024.0, [4, 2], fine)),
        ((1024.0, [grows - 2, 2], fine), (1024.0, [grows - 1, 2], fine)),
        ((1024.0, [grows - 1, 2], fine), (2048.0, [0, 2], fine)),
        ((most, [grows - 1, 2], fine), (most, [0, 2], fine)),
        ((1024.0, [3, 2], beyond), (512.0, [0, 3], fine)),
        ((2.0, [3, 2], beyond), (1.0, [0, 3], fine)),
        // Nothing to gain by a smaller scale: the alarm stays.
        ((1.0, [3, 2], beyond), (1.0, [3, 2], beyond)),
        ((1024.0, [3, 2], [1, 5, 1, 9]), (1024.0, [3, 2], [1, 5, 1, 9])),
        ((1024.0, [3, 2], [1, 0, 1, 9]), (1024.0, [3, 2], [1, 0, 1, 9])),
    ];
    for (i, ((scale, counts, flag), expected)) in cases.into_iter().enumerate() {
        let (scale, counts, flag) = rescaled(&gpu, scale, counts, flag);
        let (to, kept, left) = expected;
        assert_eq!((scale, &counts[..], &flag[..]), (to, &kept[..], &left[..]), "case {i}");
    }
}

#[test]
fn products_of_halves_train_the_same_way() {
    let usual = gpu();
    if !usual.caps.f16 {
        println!("{}: no f16 in shaders", usual.describe());
        return;
    }
    const STEPS: u32 = 15;
    // By name: a software device gains nothing by halves and doesn't choose them.
    let halves = usual.preferring("tiled-f16");
    let run = |gpu: &Rc<Gpu>, precision| {
        let (mut session, set) = session(gpu, precision);
        (0..STEPS).for_each(|i| step(&mut session, &set, i, 0.02));
        let scaled = session.sgd.scaled(gpu).expect("a scale");
        (session.sgd.losses(gpu, 0, STEPS).expect("losses"), scaled)
    };
    let (whole, _) = run(&usual, Precision::F32);
    let (mixed, scaled) = run(&halves, Precision::Mixed);
    let made = halves.kernels_made();
    let forms: Vec<&String> = made.iter().filter(|f| f.contains("+f16")).collect();
    assert_eq!(forms.len(), 2, "forward and backward-data, and backward-weights: {made:?}");
    assert!(!made.iter().any(|form| form.contains("conv2d/rows")), "{made:?}");
    assert_eq!(scaled.map(|s| s.skipped), Some(0));
    let apart: Vec<f32> = whole.iter().zip(&mixed).map(|(a, b)| ((a - b) / a).abs()).collect();
    println!("{whole:?}\n{mixed:?}\n{apart:?}");
    assert!(whole != mixed && apart[0] > 0.0, "halves are rounded: {whole:?}");
    assert!(apart[..5].iter().all(|d| *d < 2e-3), "{apart:?}");
    let end = |losses: &[f32]| losses[10..].iter().sum::<f32>() / 5.0;
    assert!(end(&whole) < 0.9 * whole[0], "{whole:?}");
    assert!((end(&whole) - end(&mixed)).abs() < 0.02 * whole[0], "{whole:?} {mixed:?}");
}

#[test]
fn a_run_in_mixed_precision_resumes_to_the_same_bits() {
    const RUN: [&str; 14] = [
        "--classes",
        "4",
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
        "--precision",
        "mixed",
    ];
    let (whole, broken) = (folder(), folder());
    let events = train(&RUN, whole.path());
    let steps = done(&events)["step"].as_u64().expect("a number");
    let kept = |run: &std::path::Path| -> Scaled {
        let file = Checkpoint::load_own(&run.join("checkpoint/last.safetensors")).expect("a file");
        serde_json::from_str(&file.meta["loss_scale"]).expect("a scale")
    };
    let scaled = Scaled { finite: steps as u32, ..Scaled::default() };
    assert_eq!(kept(whole.path()), scaled);
    train(&[&RUN[..], &["--max-steps", &(steps / 2 + 1).to_string()]].concat(), broken.path());
    assert_eq!(kept(broken.path()).finite, steps as u32 / 2 + 1);
    resume(broken.path());
    assert_eq!(kept(broken.path()), scaled);
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(bytes(broken.path(), name) == bytes(whole.path(), name), "{name} differs");
    }
    let rows = evenkeel::train::run_dir::read_metrics(whole.path()).expect("metrics");
    assert_eq!(rows[1]["loss_scale"]["scale"], 65_536.0);
}
