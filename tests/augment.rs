//! Augmentation on the device: every image operation against torchvision's, the draws of policies, and
//! the black square.

mod common;

use common::gpu;
use evenkeel::data::{CIFAR_MEAN, CIFAR_STD};
use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::graph::{Plan, Work, Workspace};
use evenkeel::ops::{self, Entry, Normalized, Operation, Policy};
use evenkeel::tensor::Tensor;
use evenkeel::train::config::{InputCfg, PolicyKind};
use evenkeel::train::policy::rows;
use safetensors::SafeTensors;
use std::rc::Rc;

const OPERATIONS: [Operation; 15] = [
    Operation::Identity,
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
    Operation::Rotate,
    Operation::Brightness,
    Operation::Color,
    Operation::Contrast,
    Operation::Sharpness,
    Operation::Posterize,
    Operation::Solarize,
    Operation::AutoContrast,
    Operation::Equalize,
    Operation::Invert,
];

fn images(cutout: usize) -> Normalized {
    Normalized { mean: CIFAR_MEAN, std: CIFAR_STD, cutout, draw: 0 }
}

/// Bytes [N, 3, H, W] as the network sees them, and back.
fn normalized(gpu: &Rc<Gpu>, bytes: &[u8], shape: [usize; 4]) -> Tensor {
    let plane = shape[2] * shape[3];
    let values: Vec<f32> = bytes
        .iter()
        .enumerate()
        .map(|(i, b)| {
            let c = i / plane % 3;
            (f32::from(*b) / 255.0 - CIFAR_MEAN[c]) / CIFAR_STD[c]
        })
        .collect();
    Tensor::new(gpu, &values, shape).expect("images")
}

fn bytes(values: &[f32], plane: usize) -> Vec<u8> {
    let byte = |(i, v): (usize, &f32)| {
        let c = i / plane % 3;
        let value = (v * CIFAR_STD[c] + CIFAR_MEAN[c]) * 255.0;
        assert!((value - value.round()).abs() < 1e-2, "{value} is no byte");
        value.round() as u8
    };
    values.iter().enumerate().map(byte).collect()
}

fn run(gpu: &Rc<Gpu>, y: &Tensor, step: StepUniform) -> Vec<f32> {
    let mut work = Work::new();
    work.keep(y);
    let plan = Plan::build(&mut Workspace::new(gpu), work).expect("a plan");
    plan.run(&step).expect("a run");
    plan.read(y).expect("values")
}

#[test]
fn every_operation_is_torchvisions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/augment/operations.safetensors");
    let file = std::fs::read(path).expect("`tools/golden.py augment` writes it");
    let (_, header) = SafeTensors::read_metadata(&file).expect("a header");
    let cases: Vec<(usize, f32)> =
        serde_json::from_str(&header.metadata().as_ref().expect("metadata")["cases"])
            .expect("cases");
    let golden = SafeTensors::deserialize(&file).expect("tensors");
    let x = golden.tensor("images").expect("images");
    let shape: [usize; 4] = x.shape().try_into().expect("four axes");
    let plane = shape[2] * shape[3];
    let gpu = gpu();
    let input = normalized(&gpu, x.data(), shape);
    for (i, (number, amount)) in cases.iter().enumerate() {
        let operation = OPERATIONS[*number];
        let entry =
            Entry { operation, probability: 1.0, low: *amount, high: *amount, signed: false };
        let policy = Policy::new(&gpu, &[vec![entry]], false).expect("a policy");
        let y = ops::augment(&input, &policy, &images(0)).expect("images");
        let found = bytes(&run(&gpu, &y, StepUniform::default()), plane);
        let expected = golden.tensor(&format!("out.{i}")).expect("an output");
        let what = format!("{operation:?} {amount}");
        let pairs = || found.iter().zip(expected.data());
        // Products are contracted or not: a byte may be rounded down by one. Where a source pixel lies
        // halfway between two, either may be taken.
        let off = pairs().filter(|(f, e)| f.abs_diff(**e) > 1).count();
        let allowed = if (1..=5).contains(number) { found.len() / 50 } else { 0 };
        assert!(off <= allowed, "{what}: {off} of {} bytes are off", found.len());
        let near = pairs().filter(|(f, e)| f.abs_diff(**e) == 1).count();
        assert!(near <= found.len() / 100, "{what}: {near} of {} are off by one", found.len());
    }
}

/// The share of changed images and their spread, for a policy over many samples.
#[test]
fn probabilities_signs_and_amounts_are_drawn() {
    let gpu = gpu();
    let (n, w) = (400, 9);
    let mut one = vec![0u8; 3 * w * w];
    for c in 0..3 {
        one[c * w * w + 4 * w + 4] = 200;
    }
    let all: Vec<u8> = one.iter().copied().cycle().take(n * one.len()).collect();
    let x = normalized(&gpu, &all, [n, 3, w, w]);
    let entry = Entry {
        operation: Operation::TranslateX,
        probability: 0.75,
        low: 1.0,
        high: 4.0,
        signed: true,
    };
    let policy = Policy::new(&gpu, &[vec![entry]], false).expect("a policy");
    let y = ops::augment(&x, &policy, &images(0)).expect("images");
    let step = |epoch, first| StepUniform { epoch, first, seed: [3, 4], ..Default::default() };
    let found = run(&gpu, &y, step(0, 0));
    assert_eq!(found, run(&gpu, &y, step(0, 0)));
    assert_ne!(found, run(&gpu, &y, step(1, 0)));
    // A draw belongs to the position in the epoch, not to the place in the batch.
    let later = run(&gpu, &y, step(0, 100));
    assert_eq!(found[100 * one.len()..], later[..(n - 100) * one.len()]);
    let found = bytes(&found, w * w);
    let mut moved = [0usize; 9];
    for image in found.chunks(one.len()) {
        let column = image.iter().position(|b| *b == 200).expect("a dot") % w;
        moved[column] += 1;
    }
    // A quarter stays; the amounts 1, 2 and 3 (rounded down) in both directions have an eighth each.
    assert!((75..125).contains(&moved[4]), "{moved:?}");
    for column in [1, 2, 3, 5, 6, 7] {
        assert!((30..72).contains(&moved[column]), "{moved:?}");
    }
    assert_eq!(moved[0] + moved[8], 0, "{moved:?}");
}

#[test]
fn the_square_is_black_and_of_its_size() {
    let gpu = gpu();
    let (n, w, side) = (300, 12, 6);
    let x = normalized(&gpu, &vec![99; n * 3 * w * w], [n, 3, w, w]);
    let still = Entry {
        operation: Operation::Identity,
        probability: 1.0,
        low: 0.0,
        high: 0.0,
        signed: false,
    };
    // In the second pass only.
    let policy = Policy::new(&gpu, &[vec![still, still]], false).expect("a policy");
    let y = ops::augment(&x, &policy, &images(side)).expect("images");
    let step = StepUniform { seed: [8, 1], ..Default::default() };
    let found = bytes(&run(&gpu, &y, step), w * w);
    let mut whole = 0;
    for image in found.chunks(3 * w * w) {
        let black: Vec<usize> = (0..w * w).filter(|i| image[*i] == 0).collect();
        let rows =
            black.iter().map(|i| i / w).max().unwrap() - black.iter().map(|i| i / w).min().unwrap();
        assert!(rows < side && black.len() <= side * side && black.len() >= side * side / 4);
        assert!(image.iter().all(|b| [0, 99].contains(b)));
        assert!((0..w * w).all(|i| image[i] == image[i + w * w]), "all channels alike");
        whole += usize::from(black.len() == side * side);
    }
    // Whole where the centre is at least three from every border: (7/12)² of the images.
    assert!((70..135).contains(&whole), "{whole}");
}

#[test]
fn policies_run_and_change_images() {
    let gpu = gpu();
    let (n, w) = (64, 16);
    let data: Vec<u8> = (0..n * 3 * w * w).map(|i| (i * 37 % 251) as u8).collect();
    let x = normalized(&gpu, &data, [n, 3, w, w]);
    for kind in
        [PolicyKind::AutoAugment, PolicyKind::RandAugment, PolicyKind::Rotation, PolicyKind::Jitter]
    {
        let input = InputCfg { policy: kind, ..InputCfg::default() };
        let (rows, independent) = rows(&input, [w, w]).expect("a policy");
        let policy = Policy::new(&gpu, &rows, independent).expect("a policy");
        let y = ops::augment(&x, &policy, &images(0)).expect("images");
        let found = bytes(&run(&gpu, &y, StepUniform::default()), w * w);
        let size = 3 * w * w;
        let changed = found.chunks(size).zip(data.chunks(size)).filter(|(a, b)| a != b).count();
        assert!(changed > n / 2, "{kind:?} changed {changed} of {n}");
    }
    assert!(Policy::new(&gpu, &[], false).is_err());
}
