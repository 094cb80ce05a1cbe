//! `--limits`: a device asked for within lower limits gets only what they allow, and says so.

use serde_json::Value;
use std::process::{Command, Output};

fn evenkeel(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(args).env_remove("EVENKEEL_LIMITS").envs(environment.iter().copied());
    command.output().expect("the program starts")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn failed(output: &Output, code: i32, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(word), "`{word}` is not in: {said}");
}

/// That `devices --json` tells a device with WebGPU's defaults and nothing more.
fn plain(output: &Output) {
    assert!(output.status.success());
    let device = &lines(output)[0][0];
    assert_eq!(device["subgroups"], false, "{device}");
    assert_eq!(device["f16"], false, "{device}");
    assert_eq!(device["texels"], false, "{device}");
    let limit = |name: &str| device["limits"][name].as_u64().expect("a limit");
    assert!(limit("max_storage_buffers_per_shader_stage") <= 8);
    assert!(limit("max_compute_invocations_per_workgroup") <= 256);
    assert!(limit("max_storage_buffer_binding_size") <= 128 << 20);
    let convolution = &device["kernels"][0];
    assert_eq!(convolution["family"], "3x3 convolution");
    assert!(!convolution["offered"].as_array().expect("variants").is_empty());
    assert!(convolution["lacking"].to_string().contains("no subgroups"), "{convolution}");
}

#[test]
fn within_webgpus_limits_a_device_has_no_features() {
    plain(&evenkeel(&["devices", "--json", "--limits", "webgpu"], &[]));
    plain(&evenkeel(&["devices", "--json"], &[("EVENKEEL_LIMITS", "webgpu")]));
}

#[test]
fn a_device_lacks_nothing_for_what_it_has() {
    let device = &lines(&evenkeel(&["devices", "--json"], &[]))[0][0];
    let families = device["kernels"].as_array().expect("families");
    assert_eq!(families.len(), 3, "{device}");
    if device["subgroup_size"][0].as_u64() >= Some(8) {
        for family in families {
            assert!(!family["lacking"].to_string().contains("needs subgroups"), "{family}");
        }
    }
}

#[test]
fn within_webgpus_limits_the_portable_kernels_run_and_are_right() {
    for op in ["sum", "softmax", "batch_norm"] {
        let ran = evenkeel(&["check", "--op", op, "--json", "--limits", "webgpu"], &[]);
        let found = lines(&ran);
        assert!(ran.status.success() && !found.is_empty(), "{found:?}");
        for line in found {
            assert!(line["cases"].as_u64() > Some(5) && line["failed"] == 0, "{line}");
            let made = line["kernels_made"].as_array().expect("kernels");
            assert!(!made.is_empty(), "{line}");
            let features = made.iter().filter(|k| k.to_string().contains('+')).count();
            assert_eq!(features, 0, "{made:?}");
        }
    }
}

#[test]
fn what_a_device_does_not_allow_is_said_and_not_counted_as_right() {
    let check = |op| evenkeel(&["check", "--op", op, "--json", "--limits", "downlevel"], &[]);
    let beyond = &lines(&check("batch_norm"))[0];
    assert_eq!(beyond["cases"], 0, "{beyond}");
    let why = beyond["beyond"].as_str().expect("a reason");
    assert!(why.contains("storage buffers") && why.contains("kernels/batchnorm/"), "{why}");
    let fine = &lines(&check("relu"))[0];
    assert!(fine["cases"].as_u64() > Some(5) && fine["failed"] == 0, "{fine}");

    let out = tempfile::tempdir().expect("a folder");
    let out = out.path().join("run");
    let args = ["train", "--limits", "downlevel", "--max-steps", "1", "--out"];
    let run = evenkeel(&[&args[..], &[out.to_str().expect("a path")]].concat(), &[]);
    failed(&run, 1, "lets a kernel have 4");
}

#[test]
fn limits_that_are_not_there_are_a_wrong_request() {
    failed(&evenkeel(&["devices", "--limits", "webgl"], &[]), 2, "did you mean `webgpu`?");
    failed(&evenkeel(&["devices"], &[("EVENKEEL_LIMITS", "phone")]), 2, "Known: adapter");
}
