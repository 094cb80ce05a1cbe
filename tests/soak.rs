//! A long run stays as it began: 5,000 steps of the small network with flat resident memory, flat GPU
//! memory, and steps that cost the same at the end as at the beginning. Minutes, so `tools/soak` runs it.

#![cfg(target_os = "linux")]

#[path = "common/run.rs"]
mod run;

use run::{Run, folder};

/// What the process has used at an epoch's end.
#[derive(Clone, Copy)]
struct Sample {
    step: u64,
    /// Resident memory, in bytes.
    resident: u64,
    /// GPU memory held by the engine, in bytes.
    gpu: u64,
    /// Processor time so far, in seconds; unlike time, it doesn't depend on what else runs here.
    cpu: f64,
}

/// Field `name` of a process's status, in KiB.
fn status(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|l| l.strip_prefix(name)).expect("a field");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB")
}

/// User and system time of a process: 100 ticks a second.
fn cpu(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
#[ignore = "takes minutes: tools/soak"]
fn five_thousand_steps_stay_flat() {
    let steps = std::env::var("EVENKEEL_STEPS").unwrap_or("5000".into());
    let set = ["--train-per-class", "200", "--imbalance", "10", "--test-per-class", "4"];
    let size = ["--batch-size", "16", "--epochs", "1000", "--max-steps", &steps];
    let out = folder();
    let mut run = Run::start(&[&set[..], &size].concat(), out.path());
    let pid = run.child.id();
    let mut samples = Vec::new();
    while let Some(event) = run.event() {
        if event["event"] == "epoch" {
            samples.push(Sample {
                step: event["step"].as_u64().expect("a step"),
                resident: status(pid, "VmRSS") * 1024,
                gpu: event["gpu_bytes"].as_u64().expect("bytes"),
                cpu: cpu(pid),
            });
        }
    }
    assert!(run.child.wait().expect("the program ends").success());
    assert!(samples.len() >= 20, "only {} epochs", samples.len());
    // The first tenth warms up: plans, shaders, the driver's pools.
    let warm = &samples[samples.len() / 10..];
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (first, last) = (warm[0], warm[warm.len() - 1]);
    let per_step = |part: &[Sample]| {
        let (a, b) = (part[0], part[part.len() - 1]);
        (b.cpu - a.cpu) / (b.step - a.step) as f64 * 1e3
    };
    let fifth = warm.len() / 5;
    let (early, late) = (per_step(&warm[..fifth]), per_step(&warm[warm.len() - fifth..]));
    println!(
        "{} steps; resident {:.1} MiB at step {}, {:.1} MiB at the end; GPU memory {:.1} MiB and {:.1} MiB; \
         processor time a step {early:.2} ms in the first fifth, {late:.2} ms in the last",
        last.step,
        mib(first.resident),
        first.step,
        mib(last.resident),
        mib(first.gpu),
        mib(last.gpu),
    );
    assert!(warm.iter().all(|s| s.gpu == first.gpu), "GPU memory changes");
    let growth = last.resident as f64 / first.resident as f64;
    assert!(growth < 1.02, "resident memory grows by {:.1} %", (growth - 1.0) * 100.0);
    assert!(late < early * 1.15, "a step costs {late:.2} ms at the end, {early:.2} ms before");
}
