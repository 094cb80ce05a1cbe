//! A training run as its user starts it, and the unbroken run that others are compared with.

#![allow(dead_code, reason = "each test takes what it needs")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Three epochs of 14 steps on synthetic images.
pub const SHORT: [&str; 10] = [
    "--train-per-class",
    "40",
    "--imbalance",
    "4",
    "--test-per-class",
    "5",
    "--epochs",
    "3",
    "--batch-size",
    "16",
];
pub const SHORT_STEPS: u64 = 42;

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// `evenkeel train --json --log-steps 1`, as it prints.
pub struct Run {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Run {
    pub fn start(args: &[&str], out: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["train", "--json", "--log-steps", "1", "--out", text(out)])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout"));
        Run { child, lines }
    }

    /// The next event; `None` at the end.
    pub fn event(&mut self) -> Option<Value> {
        let mut line = String::new();
        let bytes = self.lines.read_line(&mut line).expect("a line");
        (bytes > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
    }

    /// Reads until step `step` is told.
    pub fn until_step(&mut self, step: u64) {
        while let Some(event) = self.event() {
            if event["event"] == "step" && event["step"] == step {
                return;
            }
        }
        panic!("the run ended before step {step}");
    }

    pub fn finish(mut self) -> (ExitStatus, Vec<Value>) {
        let events = std::iter::from_fn(|| self.event()).collect();
        (self.child.wait().expect("the program ends"), events)
    }
}

/// All events of a run that succeeds.
pub fn train(args: &[&str], out: &Path) -> Vec<Value> {
    let (status, events) = Run::start(args, out).finish();
    assert!(status.success(), "{status}: {args:?}");
    events
}

pub fn resume(out: &Path) -> Vec<Value> {
    train(&["--resume"], out)
}

pub fn done(events: &[Value]) -> &Value {
    events.iter().find(|e| e["event"] == "done").expect("a run that is done")
}

pub fn bytes(run: &Path, name: &str) -> Vec<u8> {
    let path = run.join("checkpoint").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// An unbroken run of [`SHORT`], which broken ones are compared with.
pub fn unbroken() -> &'static Path {
    static UNBROKEN: OnceLock<PathBuf> = OnceLock::new();
    UNBROKEN.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(concat!(env!("CARGO_CRATE_NAME"), "-unbroken"));
        if out.exists() {
            std::fs::remove_dir_all(&out).expect("the folder of an earlier test goes");
        }
        let events = train(&SHORT, &out);
        assert_eq!(done(&events)["step"], SHORT_STEPS);
        out
    })
}

/// A run ended with the bits of the unbroken one.
pub fn same_bits(run: &Path, how: &str) {
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(bytes(run, name) == bytes(unbroken(), name), "{name} differs after {how}");
    }
    let rows = |run: &Path| evenkeel::train::run_dir::read_metrics(run).expect("metrics");
    let measured =
        |row: &Value| ["epoch", "step", "loss", "train_accuracy", "test"].map(|k| row[k].clone());
    let (found, expected) = (rows(run), rows(unbroken()));
    assert!(found.iter().map(measured).eq(expected.iter().map(measured)), "metrics after {how}");
}
