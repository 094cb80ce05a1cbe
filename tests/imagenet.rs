//! The ImageNet networks against torchvision's, and RIDE's of three experts: names and shapes, logits, losses of
//! training steps, from weights and images that both sides make from a formula (`tools/golden.py imagenet`). Those at
//! 224 pixels, and most of the deep ones, take minutes: `cargo test --release --test imagenet -- --ignored`.

mod common;

use evenkeel::data::{Dataset, IMAGENET_MEAN, IMAGENET_STD};
use evenkeel::gpu::StepUniform;
use evenkeel::loss::ObjectiveSpec;
use evenkeel::nn::{
    BiasStart, Builder, Experts, Head, MODELS, Named, NormKind, NormLayers, Norms, Projected,
    ResNet, Spec,
};
use evenkeel::optim::SgdOptions;
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;
use serde_json::Value;
use std::path::Path;

const CLASSES: usize = 7;

/// Their parameters lie in two parts on a device that binds 128 MiB.
const DEEPEST: [&str; 2] = ["resnet101-bn-64.json", "resnet152-bn-64.json"];

/// Hashes of 0..count as numbers in [-1, 1), a different series for each name.
fn noise(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = crc32fast::hash(name.as_bytes());
    (0..count as u32).map(move |i| {
        let mut h = i.wrapping_mul(2_654_435_761).wrapping_add(seed);
        for (shift, factor) in [(16, 0x85EB_CA6B_u32), (13, 0xC2B2_AE35)] {
            h = (h ^ (h >> shift)).wrapping_mul(factor);
        }
        f64::from(h ^ (h >> 16)) / 2_147_483_648.0 - 1.0
    })
}

/// A tensor's first values.
fn start(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let scaled =
        |base: f64, factor: f64| noise(name, count).map(|v| (base + factor * v) as f32).collect();
    match (name, shape) {
        ("scale_factor", _) => vec![1.5; count],
        (n, _) if n.ends_with("running_var") => scaled(1.0, 0.5),
        (n, _) if n.ends_with("bias") || n.ends_with("running_mean") => scaled(0.0, 0.1),
        (_, [_]) => scaled(0.75, 0.25),
        (_, [co, _, rows, columns]) => scaled(0.0, (6.0 / (co * rows * columns) as f64).sqrt()),
        (_, [_, features]) => scaled(0.0, (6.0 / (6 * features) as f64).sqrt()),
        _ => panic!("{name} {shape:?}"),
    }
}

fn images(count: usize, size: usize) -> Dataset {
    let pixels = noise("images", count * 3 * size * size);
    Dataset {
        name: "made".into(),
        classes: (0..CLASSES).map(|c| c.to_string()).collect(),
        shape: [3, size, size],
        pixels: pixels.map(|v| ((v + 1.0) * 128.0) as u8).collect(),
        labels: (0..count as u32).map(|i| i % CLASSES as u32).collect(),
        files: None,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    }
}

/// The largest difference of two lists, relative to the largest value.
fn difference(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1e-12, |most: f64, w| most.max(w.abs()));
    got.iter().zip(want).fold(0.0, |most: f64, (g, w)| {
        assert!(g.is_finite());
        most.max((f64::from(*g) - w).abs() / largest)
    })
}

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().expect("a list").iter();
    list.flat_map(|v| v.as_array().map_or_else(|| vec![v.clone()], Clone::clone))
        .map(|v| v.as_f64().expect("a number"))
        .collect()
}

fn spec_of(golden: &Value) -> Spec<'_> {
    let kind = if golden["norm"] == "nbn" { NormKind::Nbn } else { NormKind::Bn };
    // Several experts are RIDE's, which has cosine classifiers.
    let count = golden["experts"].as_u64().unwrap_or(1) as usize;
    let head = if count > 1 { Head::Cosine(30.0) } else { Head::Linear };
    Spec {
        model: golden["model"].as_str().expect("a model"),
        classes: CLASSES,
        head,
        experts: Experts { count, ..Experts::ONE },
        norms: Norms::new(kind, NormLayers::LastStage, BiasStart::Zero),
        projected: Projected::NONE,
    }
}

/// A golden file, whose network has torchvision's names and shapes.
fn golden(file: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/imagenet");
    let text = std::fs::read_to_string(folder.join(file)).expect("a golden file");
    let golden: Value = serde_json::from_str(&text).expect("JSON");
    let mut builder = Builder::default();
    ResNet::new(&mut builder, &spec_of(&golden)).expect("a network");
    let mut names: Vec<String> =
        builder.names().map(|(name, shape)| format!("{name} {shape:?}\n")).collect();
    names.sort();
    assert_eq!(Some(names.len() as u64), golden["tensors"].as_u64(), "{file}");
    let told = crc32fast::hash(names.concat().as_bytes());
    let crc = golden["names_crc32"].as_u64().expect("a checksum");
    assert_eq!(u64::from(told), crc, "{}", names.concat());
    golden
}

fn same_as_torchvision(file: &str) {
    let golden = golden(file);
    let number = |key: &str| golden[key].as_u64().expect(key) as usize;
    let spec = spec_of(&golden);
    let gpu = common::gpu();
    let sgd = SgdOptions { momentum: 0.9, weight_decay: 5e-4, ..SgdOptions::default() };
    let loss = ObjectiveSpec::default();
    let mut session = Session::new(&gpu, &spec, &loss, sgd, 0).expect("a session");
    let mut own: Vec<Named> = session.params.export(false).expect("the parameters");
    own.retain(|(name, ..)| !name.ends_with("num_batches_tracked"));
    for (name, shape, values) in &mut own {
        *values = start(name, shape);
    }
    session.params.import(&own).expect("fitting tensors");
    let batch = number("batch");
    let set = DeviceSet::upload(&gpu, &images(batch, number("size"))).expect("a set");
    let logits = session.logits(&set, batch).expect("logits");
    let off = difference(&logits, &numbers(&golden["logits"]));
    println!("{file}: logits within {off:.1e}");
    assert!(off < 1e-3, "{file}: logits {off:.1e}");

    let want = numbers(&golden["losses"]);
    if want.is_empty() {
        return;
    }
    let learning_rate = golden["rate"].as_f64().expect("a rate") as f32;
    for step in 0..want.len() as u32 {
        let plan = session.train_plan(&set, batch, false).expect("a plan");
        plan.run(&StepUniform { learning_rate, step, ..Default::default() }).expect("a step");
    }
    let losses = session.sgd.losses(&gpu, 0, want.len() as u32).expect("losses");
    let off = difference(&losses, &want);
    println!("{file}: losses {losses:?} within {off:.1e}");
    assert!(off < 2e-3, "{file}: losses {losses:?}, PyTorch's {want:?}");
}

#[test]
fn basic_blocks_as_torchvision() {
    same_as_torchvision("resnet10-nbn-64.json");
}

#[test]
fn grouped_bottlenecks_as_torchvision() {
    same_as_torchvision("resnext50-nbn-64.json");
}

#[test]
fn the_deepest_have_torchvisions_names() {
    for file in DEEPEST {
        golden(file);
    }
}

#[test]
#[ignore = "deep: minutes; a gigabyte of parameters, gradients and momentum"]
fn the_deepest_as_torchvision() {
    DEEPEST.into_iter().for_each(same_as_torchvision);
}

#[test]
#[ignore = "deep: minutes"]
fn deep_networks_as_torchvision() {
    let files = ["resnet18-bn", "resnet34-bn", "resnet50-nbn"];
    files.into_iter().for_each(|file| same_as_torchvision(&format!("{file}-64.json")));
}

#[test]
#[ignore = "deep: minutes"]
fn rides_experts_as_its_authors_have_them() {
    same_as_torchvision("ride-resnet50-bn-64.json");
}

#[test]
fn rides_experts_have_their_names_and_widths() {
    golden("ride-resnet50-bn-64.json");
}

#[test]
#[ignore = "224 pixels: minutes"]
fn full_size_images_as_torchvision() {
    ["resnet50-nbn-224.json", "resnext50-nbn-224.json"].into_iter().for_each(same_as_torchvision);
}

#[test]
fn every_model_has_a_golden_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/imagenet");
    let files: Vec<String> = std::fs::read_dir(folder)
        .expect("golden files")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    for arch in MODELS.iter().filter(|arch| arch.blocks.len() == 4) {
        let begins = |f: &String| f.starts_with(&format!("{}-", arch.name));
        assert!(files.iter().any(begins), "{} has none", arch.name);
    }
}
