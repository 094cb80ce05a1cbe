//! Kernels that are wrong on purpose (`tests/planted/`), each caught by the layer that its first line
//! names: naga and the default limits here, the comparison with what should come out on the device
//! here, other compilers by `tools/portability`.

mod common;

use evenkeel::check::golden::{Tolerance, compare};
use evenkeel::check::reference::Array;
use evenkeel::gpu::{Binding, Gpu, Slice};
use evenkeel_kernels::{Launch, Source};
use std::path::Path;

/// A launch of `tests/planted/NAME.wgsl`.
macro_rules! planted {
    ($name:literal) => {
        Launch::new(
            Source {
                path: concat!("tests/planted/", $name, ".wgsl"),
                text: include_str!(concat!("planted/", $name, ".wgsl")),
            },
            "main",
        )
    };
}

/// Every planted kernel; one that stands in no test here fails the last of them.
fn all() -> [Launch; 6] {
    [
        planted!("barrier_in_a_branch"),
        planted!("f16_undeclared"),
        planted!("missing_barrier"),
        planted!("ninth_storage_buffer"),
        planted!("race"),
        planted!("subgroups_undeclared"),
    ]
}

/// What naga or the default limits have against a launch.
fn refused(launch: &Launch) -> Option<String> {
    match launch.assemble().and_then(|a| a.compile()) {
        Err(e) => Some(e.to_string()),
        Ok(compiled) => compiled.beyond_limits(),
    }
}

#[test]
fn naga_and_the_limits_refuse_what_names_them_and_nothing_else() {
    for launch in all() {
        let path = launch.source.path;
        let caught = launch.source.text.lines().next().unwrap_or_default();
        let names = caught.strip_prefix("// caught by: ").expect("who catches it");
        let why = refused(&launch);
        // Only Tint and FXC see that a barrier is not uniform; if naga does one day, this says so.
        assert_eq!(why.is_some(), names.split(' ').any(|n| n == "naga"), "{path}: {why:?}");
        if let Some(why) = why {
            let sought = match path {
                p if p.contains("ninth") => "9 storage buffers",
                p if p.contains("f16") => "f16",
                _ => "subgroup",
            };
            assert!(why.to_lowercase().contains(sought), "{path}: {why}");
        }
    }
}

/// What `launch` makes of `x`, in `outputs` elements that were zero.
fn run(gpu: &Gpu, launch: &Launch, x: &[f32], outputs: usize) -> Vec<f32> {
    let x = Slice::whole(gpu.upload("x", x).expect("a buffer"));
    let y = Slice::whole(gpu.upload("y", &vec![0.0; outputs]).expect("a buffer"));
    let bound =
        gpu.bind(launch, &[Binding::Storage(&x), Binding::Storage(&y)]).expect("a pipeline");
    gpu.submit(&[bound]).expect("a submit");
    gpu.read(&y).expect("the result")
}

/// The comparison of `evenkeel check` finds `found` wrong.
fn caught(what: &str, expected: &[f64], found: &[f32]) {
    let array = |v: Vec<f64>| Array::new([v.len()], v);
    let found = array(found.iter().map(|v| f64::from(*v)).collect());
    let report = compare(&array(expected.to_vec()), &found, Tolerance::default());
    assert!(!report.ok, "{what} went unseen: {found:?}");
}

#[test]
fn a_race_is_caught_by_the_comparison_with_what_should_come_out() {
    let gpu = common::gpu();
    let x: Vec<f32> = (0..512).map(|i| (i % 7) as f32).collect();
    let sum = x.iter().map(|v| f64::from(*v)).sum();
    let launch = planted!("race").grid(8, 1, 1);
    caught("a race", &[sum], &run(&gpu, &launch, &x, 1));
}

#[test]
fn a_missing_barrier_is_caught_by_the_comparison_with_what_should_come_out() {
    let gpu = common::gpu();
    let x: Vec<f32> = (1..=64).map(|i| i as f32).collect();
    let turned: Vec<f64> = x.iter().rev().map(|v| f64::from(*v)).collect();
    let launch = planted!("missing_barrier");
    caught("a missing barrier", &turned, &run(&gpu, &launch, &x, 64));
}

#[test]
fn every_planted_kernel_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted");
    let files = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(files, all().len());
}
