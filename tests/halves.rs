//! Activations that wait for the backward pass as halves: what the kernels make of numbers, what a step's loss,
//! gradients and memory become, and that training goes the same way.

mod common;
#[path = "common/nets.rs"]
mod nets;

use common::gpu;
use evenkeel::gpu::{Binding, Gpu, Slice, StepUniform};
use evenkeel::loss::ObjectiveSpec;
use evenkeel::nn::{BiasStart, NormKind};
use evenkeel::optim::SgdOptions;
use evenkeel::train::config::Activations;
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;
use evenkeel_kernels::elementwise;
use nets::{images, network};
use std::rc::Rc;

/// The numbers that come back from halves.
fn there_and_back(gpu: &Gpu, numbers: &[f32]) -> Vec<f32> {
    let x = Slice::whole(gpu.upload("x", numbers).expect("a buffer"));
    let h = Slice::whole(gpu.upload("h", &vec![0u32; numbers.len() / 2]).expect("a buffer"));
    let len = numbers.len() as u32;
    let y = Slice::whole(gpu.upload("y", &vec![f32::NAN; numbers.len()]).expect("a buffer"));
    let bind = |program: evenkeel_kernels::Program, a: &Slice, b: &Slice| {
        let launch = &program.calls[0].launch;
        gpu.bind(launch, &[Binding::Storage(a), Binding::Storage(b)]).expect("a pipeline")
    };
    let to = bind(elementwise::halve(len, &gpu.caps), &x, &h);
    let back = bind(elementwise::restore(len, &gpu.caps), &h, &y);
    gpu.submit(&[to, back]).expect("a submit");
    gpu.read(&y).expect("numbers")
}

#[test]
fn numbers_come_back_rounded_to_halves() {
    let gpu = gpu();
    let numbers = [
        0.0,
        -0.0,
        1.0,
        -2.0,
        0.5,
        1024.0,
        2047.0,
        -65504.0, // halves as they are
        1.0 / 3.0,
        -3.2,
        1e-3,
        6.1e-5,
        3e-6,
        -1e-7,
        12345.6,
        0.1, // rounded
        65519.0,
        1e5,
        -1e9,
        f32::MAX,
        f32::MIN,
        7e4,
        -65505.0,
        3e38, // beyond the largest
    ];
    let found = there_and_back(&gpu, &numbers);
    assert_eq!(found[..8], numbers[..8]);
    for (x, y) in numbers.iter().zip(&found).skip(8).take(8) {
        // Half a unit in the last of 11 bits; below 2⁻¹⁴ halves are 2⁻²⁴ apart.
        let most = (x.abs() * 2f32.powi(-11)).max(2f32.powi(-25));
        assert!((x - y).abs() <= most * 1.001, "{x}: {y}");
    }
    for (x, y) in numbers.iter().zip(&found).skip(16) {
        assert_eq!(*y, 65504f32.copysign(*x), "{x}");
    }
}

/// A network, its images on the device, and what waits as what.
fn session(gpu: &Rc<Gpu>, model: &str, activations: Activations) -> (Session, DeviceSet) {
    let spec = network(model, NormKind::Nbn, BiasStart::Random);
    let sgd = SgdOptions { momentum: 0.9, weight_decay: 2e-4, ..SgdOptions::default() };
    let set = DeviceSet::upload(gpu, &images(20, 2.0).train).expect("a set on the device");
    let mut session =
        Session::new(gpu, &spec, &ObjectiveSpec::default(), sgd, 0).expect("a session");
    session.activations = activations;
    (session, set)
}

#[test]
fn the_loss_keeps_its_bits_and_gradients_are_near() {
    let gpu = gpu();
    let step = |activations| {
        let (mut session, set) = session(&gpu, "small", activations);
        let plan = session.train_plan(&set, 32, true).expect("a plan");
        plan.run(&StepUniform { learning_rate: 0.1, ..Default::default() }).expect("a step");
        let loss = session.sgd.losses(&gpu, 0, 1).expect("a loss");
        (loss, session.params.export_gradients().expect("gradients"))
    };
    let (loss, exact) = step(Activations::F32);
    let (same, near) = step(Activations::F16);
    assert_eq!(loss, same);
    let mut moved = 0;
    // An activation near zero may change its side, and with it what ReLU lets through.
    for ((name, _, a), (_, _, b)) in exact.iter().zip(&near) {
        let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        let apart: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        assert!(
            length(&apart) <= 2e-2 * length(a) + 1e-7,
            "{name}: {}",
            length(&apart) / length(a)
        );
        moved += usize::from(a != b);
    }
    assert!(moved > 5, "{moved} gradients are of rounded activations");
}

#[test]
fn a_step_needs_less_than_six_tenths_of_the_memory() {
    let gpu = gpu();
    let live = |activations| {
        let (mut session, set) = session(&gpu, "resnet20", activations);
        session.train_plan(&set, 64, true).expect("a plan").stats().live
    };
    let (whole, halves) = (live(Activations::F32), live(Activations::F16));
    assert!(halves * 10 < whole * 6, "{halves} of {whole} bytes");
}

#[test]
fn training_goes_the_same_way() {
    let gpu = gpu();
    let losses = |activations| {
        let (mut session, set) = session(&gpu, "small", activations);
        for step in 0..30 {
            let plan = session.train_plan(&set, 16, true).expect("a plan");
            let first = step % 5 * 16;
            let uniform = StepUniform { learning_rate: 0.05, step, first, ..Default::default() };
            plan.run(&uniform).expect("a step");
        }
        session.sgd.losses(&gpu, 0, 30).expect("losses")
    };
    let (whole, halves) = (losses(Activations::F32), losses(Activations::F16));
    for (a, b) in whole.iter().zip(&halves).take(10) {
        assert!((a - b).abs() < 2e-3 * a, "{whole:?} {halves:?}");
    }
    let end = |losses: &[f32]| losses[20..].iter().sum::<f32>() / 10.0;
    assert!(
        end(&whole) < 0.8 * whole[0] && (end(&whole) - end(&halves)).abs() < 0.1,
        "{whole:?} {halves:?}"
    );
}
