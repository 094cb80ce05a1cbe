//! `evenkeel bench` and `evenkeel tune` as their user meets them: what they print is whole and parses.
//! Nothing here looks at a time.

use evenkeel::gpu::Gpu;
use evenkeel::graph::{Plan, Work, Workspace};
use evenkeel::ops;
use evenkeel::tensor::Tensor;
use evenkeel_kernels::Tuned;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::rc::Rc;

fn evenkeel(args: &[&str], table: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(args).env_remove("EVENKEEL_DEVICE").env("EVENKEEL_TUNE", table);
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines of a command that succeeds, each JSON.
fn lines(args: &[&str]) -> Vec<Value> {
    let ran = evenkeel(args, "off");
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let out = text(&ran.stdout);
    out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

/// The command is refused as a wrong request, and says each of `words`.
fn refused(args: &[&str], words: &[&str]) {
    let ran = evenkeel(args, "off");
    let said = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

fn positive(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value[key].as_f64() > Some(0.0), "{key} in {value}");
    }
}

#[test]
fn a_steps_launches_add_up_to_its_kernels_and_ops() {
    let flags = "bench step --model small --batch-size 4 --rounds 1 --profiles 1 --plan --json";
    let args: Vec<&str> = flags.split(' ').collect();
    let [step] = &lines(&args)[..] else { panic!("one object") };
    positive(step, &["dispatches", "flops", "workspace_bytes", "peak_bytes", "first_ms"]);
    positive(&step["step_ms"], &["median", "min"]);
    let launches = step["launches"].as_array().expect("launches");
    assert_eq!(Some(launches.len() as u64), step["dispatches"].as_u64());
    let sum = |list: &Value, key: &str| -> u64 {
        list.as_array().into_iter().flatten().filter_map(|g| g[key].as_u64()).sum()
    };
    for groups in ["kernels", "ops"] {
        assert_eq!(sum(&step[groups], "calls"), launches.len() as u64, "{groups}");
        assert_eq!(Some(sum(&step[groups], "flops")), step["flops"].as_u64(), "{groups}");
        assert_eq!(Some(sum(&step[groups], "bytes_read")), step["bytes_read"].as_u64(), "{groups}");
    }
    let share = step["convolution_share"].as_f64().expect("timestamps");
    assert!(share > 0.0 && share < 1.0, "{share}");
}

#[test]
fn kernels_are_held_against_limits_measured_in_the_same_run() {
    let found = lines(&["bench", "softmax_ce_fwd_bwd_128x10", "--rounds", "1", "--json"]);
    let [limits, bench] = &found[..] else { panic!("limits and a bench: {found:?}") };
    positive(&limits["limits"], &["fma_f32", "submit_us"]);
    assert!(limits["limits"]["copy"].as_array().is_some_and(|c| c.len() >= 2), "{limits}");
    assert_eq!(bench["bench"], "softmax_ce_fwd_bwd_128x10");
    positive(bench, &["least_ms", "flops", "gflops", "limit_ms", "share_of_limit", "dispatches"]);
    let number = |key: &str| bench[key].as_f64().expect(key);
    // Reading JSON may cost the last bit.
    let share = number("limit_ms") / number("least_ms");
    assert!((share / number("share_of_limit") - 1.0).abs() < 1e-12, "{bench}");
}

#[test]
fn what_no_bench_is_called_is_told_with_the_nearest() {
    refused(&["bench", "matmull"], &["did you mean `matmul`?", "--list"]);
    refused(&["bench", "stepp"], &["did you mean `step`?"]);
    refused(&["tune", "matmul_512x512x513"], &["did you mean `matmul_512x512x512`?"]);
    refused(&["bench", "step", "--model", "resnett32"], &["did you mean `resnet32`?"]);
    refused(&["bench", "step", "--norm", "nbm"], &["did you mean `nbn`?"]);
    refused(&["bench", "step", "--batch-size", "0"], &["--batch-size"]);
    refused(&["bench", "--rounds", "0"], &["--rounds"]);
    refused(&["tune", "bn"], &["nothing to tune"]);
}

#[test]
fn a_tuned_table_is_read_and_keeps_what_it_had() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/table.toml");
    let tune = |name: &str| {
        let out = path.to_str().expect("UTF-8");
        lines(&["tune", name, "--out", out, "--rounds", "1", "--json"])
    };
    let found = tune("matmul_128x10x64");
    assert_eq!(found[0]["shape"], "matmul 128x10x64");
    assert!(found[0]["tried"].as_array().is_some_and(|t| t.len() >= 2), "{found:?}");
    let table = read(&path);
    assert!(table.contains("[[choice]]") && table.contains("matmul 128x10x64"), "{table}");

    // An entry of another shape stays.
    let other = table.replace("matmul 128x10x64", "matmul 1x2x3");
    std::fs::write(&path, other).expect("a file");
    tune("matmul_128x10x64");
    let table = read(&path);
    assert!(table.contains("matmul 1x2x3") && table.contains("matmul 128x10x64"), "{table}");
    std::fs::write(&path, "device = 3").expect("a file");
    let ran = evenkeel(&["bench", "bn"], path.to_str().expect("UTF-8"));
    let said = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("no tuning table") && said.contains("EVENKEEL_TUNE=off"), "{said}");
}

#[test]
fn kernels_take_the_variant_that_a_table_names() -> evenkeel::error::Result<()> {
    let gpu = Gpu::open(None)?;
    let kernels = |gpu: &Rc<Gpu>| -> evenkeel::error::Result<Vec<String>> {
        let (a, b) = (Tensor::new(gpu, &[1.0; 12], [3, 4])?, Tensor::new(gpu, &[1.0; 8], [4, 2])?);
        let mut work = Work::new();
        work.keep(&ops::matmul(&a, &b)?);
        let plan = Plan::build(&mut Workspace::new(gpu), work)?;
        Ok(plan.steps().iter().flat_map(|s| s.calls.iter().map(|c| c.0.clone())).collect())
    };
    for (variant, file) in [("naive", "matmul/naive.wgsl"), ("tiled", "matmul/tiled.wgsl")] {
        let tuned = Tuned::new([("matmul 3x2x4".to_string(), variant.to_string())]);
        let found = kernels(&gpu.tuned_by(tuned))?;
        assert!(found.iter().any(|k| k.contains(file)), "{variant}: {found:?}");
    }
    // A name that is not offered changes nothing.
    let gone = Tuned::new([("matmul 3x2x4".to_string(), "gone".to_string())]);
    assert_eq!(kernels(&gpu.tuned_by(gone))?, kernels(&gpu.tuned_by(Tuned::default()))?);
    Ok(())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the table")
}
