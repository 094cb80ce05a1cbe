//! The inspector: the catalogue holds every kernel, each in every backend's language, and the command
//! says what it should to good and bad requests.

use evenkeel_kernels::{ShaderModel, catalog};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::process::Command;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn inspect(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let ran = command.arg("inspect").args(args).output().expect("the program starts");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let ran = Ran { code: ran.status.code(), out: text(&ran.stdout), err: text(&ran.stderr) };
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

fn fine(args: &[&str]) -> String {
    let ran = inspect(args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

fn wrong(args: &[&str], words: &[&str]) {
    let ran = inspect(args);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not in: {}", ran.err);
    }
}

/// Files with entry points under kernels/.
fn entry_files(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            entry_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "wgsl")
            && std::fs::read_to_string(&path).expect("text").contains("@compute")
        {
            let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("inside");
            found.insert(inside.to_string_lossy().replace('\\', "/"));
        }
    }
}

#[test]
fn the_catalogue_holds_every_kernel_in_every_language() {
    let mut files = BTreeSet::new();
    entry_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels"), &mut files);
    let mut names = HashSet::new();
    let mut seen = HashSet::new();
    for kernel in catalog::all() {
        assert!(names.insert(kernel.name.clone()), "{} is there twice", kernel.name);
        assert!(kernel.equation.len() > 3, "{}", kernel.name);
        // A stride has kernels of its own.
        let strides = kernel.sizes.iter().any(|(n, _)| *n == "stride");
        let changes =
            if strides { vec![vec![], vec![("stride".to_string(), 2)]] } else { vec![vec![]] };
        let asked = changes.iter().map(|c| kernel.sizes(c).expect("usual sizes"));
        for (sizes, caps) in asked.flat_map(|s| catalog::devices().map(|(_, c)| (s.clone(), c))) {
            for made in kernel.variants(&sizes, &caps).expect("a variant") {
                assert!(!made.program.calls.is_empty(), "{} launches nothing", kernel.name);
                for call in &made.program.calls {
                    let launch = &call.launch;
                    files.remove(launch.source.path);
                    let text = launch.assemble().expect("an assembled kernel");
                    if !seen.insert((text.text.clone(), launch.entry)) {
                        continue;
                    }
                    let compiled = text.compile().expect("a valid kernel");
                    let words = compiled.spirv(launch.entry).expect("SPIR-V");
                    assert_eq!(words[0], 0x0723_0203, "{}", kernel.name);
                    let msl = compiled.msl(launch.entry).expect("MSL");
                    assert!(msl.contains("kernel void"), "{}", kernel.name);
                    let hlsl = compiled.hlsl(launch.entry, ShaderModel::of(launch)).expect("HLSL");
                    assert!(hlsl.contains("[numthreads("), "{}", kernel.name);
                }
            }
        }
    }
    assert_eq!(files, BTreeSet::new(), "in no kernel of the catalogue");
    assert!(seen.len() > 80, "{}", seen.len());
}

#[test]
fn kernels_are_listed_with_variants() {
    let text = fine(&["kernels"]);
    assert!(
        text.contains("conv2d.forward") && text.contains("variants: direct")
            || text.contains("variants: tiled"),
        "{text}"
    );
    for line in fine(&["kernels", "--json"]).lines() {
        let kernel: Value = serde_json::from_str(line).expect("JSON");
        assert!(kernel["variants"].as_array().is_some_and(|v| !v.is_empty()), "{kernel}");
    }
}

#[test]
fn a_kernel_is_shown_with_bindings_grid_and_cost() {
    let text = fine(&["kernel", "matmul", "--shape", "m=64,n=64,k=64", "--variant", "naive"]);
    // 2 · 64³ FLOPs, two inputs and an output of 16 KiB.
    for word in
        ["0.5243 MFLOP", "reads 0.03277 MB", "writes 0.01638 MB", "@binding(0)", "variant naive"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_kernel_is_translated() {
    let name = "normalized_batch_norm.backward_train";
    for (to, word) in [
        ("wgsl", "@compute"),
        ("spirv", "OpEntryPoint"),
        ("msl", "kernel void"),
        ("hlsl", "[numthreads("),
    ] {
        let text = fine(&["kernel", name, "--to", to]);
        assert!(text.contains(word), "{to}");
        assert!(!text.contains("#include \""), "{to}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("k.spv");
    let path = file.to_str().expect("UTF-8");
    fine(&["kernel", "relu.forward", "--to", "spirv", "--out", path]);
    assert_eq!(std::fs::read(&file).expect("a file")[..4], 0x0723_0203u32.to_le_bytes());
    wrong(&["kernel", name, "--to", "spirv", "--out", path], &["--launch"]);
}

#[test]
fn wrong_requests_are_told() {
    wrong(&["kernel", "conv2d.foward"], &["did you mean `conv2d.forward`"]);
    wrong(&["kernel", "matmul", "--to", "glsl"], &["wgsl"]);
    wrong(&["kernel", "matmul", "--shape", "m"], &["name=number"]);
    wrong(&["kernel", "matmul", "--shape", "z=3"], &["no size `z`", "batch"]);
    wrong(&["kernel", "matmul", "--shape", "m=0"], &["at least 1"]);
    wrong(&["kernel", "matmul", "--shape", "m=4000000000,n=4000000000"], &["beyond"]);
    wrong(&["kernel", "max_pool2d.forward", "--shape", "k=99"], &["leaves no output"]);
    wrong(&["kernel", "matmul", "--variant", "tile"], &["did you mean `tiled`"]);
    wrong(&["kernel", "matmul", "--launch", "7"], &["not 7"]);
    wrong(&["kernel", "matmul", "--on", "gpuu"], &["did you mean `gpu`"]);
    wrong(&["run", "/no/such/run"], &["no such folder"]);
    wrong(&["step", "--model", "resnet21"], &["did you mean"]);
    wrong(&["step", "--batch-size", "0"], &["--batch-size"]);
}

#[test]
fn a_step_becomes_a_graph_and_a_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_string();
    let (svg, trace) = (at("step.svg"), at("step.json"));
    let out = fine(&[
        "step",
        "--batch-size",
        "4",
        "--json",
        "--rounds",
        "1",
        "--svg",
        &svg,
        "--trace",
        &trace,
    ]);
    let launches: Vec<Value> =
        out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert!(launches.len() > 60, "{}", launches.len());
    for (i, l) in launches.iter().enumerate() {
        let reads = l["reads"].as_array().expect("a list");
        assert!(reads.iter().all(|r| r.as_u64().is_some_and(|r| (r as usize) < i)), "{l}");
    }
    // Backward reads what forward made long before.
    let far = |(i, l): (usize, &Value)| {
        l["reads"]
            .as_array()
            .is_some_and(|r| r.iter().any(|r| r.as_u64().is_some_and(|r| r as usize + 40 < i)))
    };
    assert!(launches.iter().enumerate().any(far));
    let events: Value =
        serde_json::from_slice(&std::fs::read(&trace).expect("a trace")).expect("JSON");
    let events = events["traceEvents"].as_array().expect("events");
    let timed: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X").collect();
    assert_eq!(timed.len(), launches.len());
    for pair in timed.windows(2) {
        let [start, length, next] =
            [&pair[0]["ts"], &pair[0]["dur"], &pair[1]["ts"]].map(|v| v.as_f64().expect("a time"));
        assert!(length > 0.0 && (start + length - next).abs() < 1e-3, "{pair:?}");
    }
    let picture = std::fs::read_to_string(&svg).expect("a picture");
    assert_eq!(picture.matches("<circle class=\"dot").count(), launches.len() + 5);
}

#[test]
fn the_playground_launches_what_the_crate_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/playground/launches.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(path).expect("a list")).expect("JSON");
    let shape = "n=16,c=8,hw=1,relu=0,residual=0";
    for (short, name) in [("bn", "batch_norm"), ("nbn", "normalized_batch_norm")] {
        for pass in ["forward", "backward"] {
            let kernel = format!("{name}.{pass}_train");
            let args = ["kernel", &kernel, "--on", "portable", "--json", "--shape", shape];
            let now: Value = serde_json::from_str(&fine(&args)).expect("JSON");
            assert_eq!(kept[format!("{short}_{pass}")], now, "renew it with tools/playground");
        }
    }
}
