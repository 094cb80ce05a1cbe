//! `mpirun -n 2 evenkeel train`: what it comes to, how it stops, is killed and goes on. Needs Open MPI and a
//! build with `--features mpi`; tools/mpi-check runs it.

#[path = "common/run.rs"]
mod run;

use run::{Run, folder, text};
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// What both trainings have in common: 20 steps of 32 images, at a rate at which they can be compared.
const SAME: [&str; 16] = [
    "--classes",
    "4",
    "--train-per-class",
    "45",
    "--imbalance",
    "4",
    "--test-per-class",
    "5",
    "--model",
    "small",
    "--lr",
    "1e-4",
    "--epochs",
    "6",
    "--max-steps",
    "20",
];

/// `mpirun -n RANKS evenkeel ARGS`.
fn mpirun(ranks: usize, args: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(["--allow-run-as-root", "--oversubscribe", "-n", &ranks.to_string()])
        .arg(env!("CARGO_BIN_EXE_evenkeel"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A training of two ranks into `out`, with its events on stdout.
fn training(out: &Path, more: &[&str]) -> Command {
    let told = ["train", "--json", "--quiet", "--log-steps", "1", "--out", text(out)];
    mpirun(2, &[&told, more].concat())
}

struct Ended {
    status: ExitStatus,
    events: Vec<Value>,
    stderr: String,
}

fn ended(mut command: Command) -> Ended {
    let output = command.output().expect("mpirun");
    let stdout = String::from_utf8_lossy(&output.stdout);
    Ended {
        status: output.status,
        events: stdout.lines().filter_map(|l| serde_json::from_str(l).ok()).collect(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn losses(events: &[Value]) -> Vec<f64> {
    let steps = events.iter().filter(|e| e["event"] == "step");
    steps.map(|e| e["loss"].as_f64().expect("a loss")).collect()
}

/// The process of a rank that trains into `out`.
fn process(out: &Path, rank: usize) -> u32 {
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let holds =
            |bytes: &[u8], text: &str| bytes.split(|b| *b == 0).any(|s| s == text.as_bytes());
        if holds(&read("environ"), &wanted) && holds(&read("cmdline"), text(out)) {
            return pid;
        }
    }
    panic!("no process of rank {rank}");
}

/// Starts a long training, and signals rank 1 once the second epoch is under way.
fn signalled(out: &Path, signal: &str) -> (ExitStatus, String) {
    let more = [&SAME[..12], &["--batch-size", "8", "--epochs", "500"]].concat();
    let mut child = training(out, &more[..]).spawn().expect("mpirun");
    let mut seen = String::new();
    let mut stdout = child.stdout.take().expect("stdout");
    let mut bytes = [0; 4096];
    while !seen.contains("\"event\":\"epoch\"") {
        let count = stdout.read(&mut bytes).expect("events");
        assert!(count > 0, "it ended early: {seen}");
        seen += &String::from_utf8_lossy(&bytes[..count]);
    }
    let pid = process(out, 1).to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    // Whatever else it tells, so that it doesn't wait for a reader.
    let rest = std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    let mut stderr = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut stderr).expect("text");
    let _ = rest.join();
    (child.wait().expect("an end"), stderr)
}

/// Goes on for a few steps, and tells at which it began.
fn resumed(out: &Path) -> u64 {
    let mut step = 0;
    let file = out.join("checkpoint/last.safetensors");
    let kept = evenkeel::train::checkpoint::Checkpoint::load(&file).expect("a whole checkpoint");
    let position: Value = serde_json::from_str(&kept.meta["position"]).expect("a position");
    step += position["step"].as_u64().expect("a step");
    let most = (step + 3).to_string();
    let again = ended(training(out, &["--resume", "--max-steps", &most]));
    assert!(again.status.success(), "{}", again.stderr);
    let first = again.events.iter().find(|e| e["event"] == "step").expect("a step");
    assert_eq!(first["step"], step + 1);
    step
}

#[test]
fn two_ranks_of_16_are_one_of_32() {
    for norm in ["bn", "nbn"] {
        let (one, two) = (folder(), folder());
        let more = [&SAME[..], &["--norm", norm, "--batch-size", "32"]].concat();
        let whole = losses(&run::train(&more, &one.path().join("run")));
        let more = [&SAME[..], &["--norm", norm, "--batch-size", "16", "--sync-bn"]].concat();
        let shared = ended(training(&two.path().join("run"), &more));
        assert!(shared.status.success(), "{}", shared.stderr);
        let shared = losses(&shared.events);
        assert_eq!((whole.len(), shared.len()), (20, 20));
        let worst = whole.iter().zip(&shared).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f64::max);
        println!("{norm}: losses within {worst:.1e} relative");
        assert!(worst < 1e-3, "{norm}: {worst}");
    }
}

#[test]
fn a_killed_rank_ends_the_job_and_the_run_goes_on_from_its_checkpoint() {
    let folder = folder();
    let out = folder.path().join("run");
    let (status, stderr) = signalled(&out, "-KILL");
    assert!(!status.success());
    assert!(stderr.contains("rank 1") && stderr.contains("signal 9"), "{stderr}");
    assert!(resumed(&out) > 0);
}

#[test]
fn a_rank_that_is_asked_to_end_ends_all_after_saving() {
    let folder = folder();
    let out = folder.path().join("run");
    let (status, stderr) = signalled(&out, "-TERM");
    assert_eq!(status.code(), Some(130), "{stderr}");
    assert_eq!(stderr.matches("evenkeel: stopped after step").count(), 1, "{stderr}");
    assert!(resumed(&out) > 0);
}

#[test]
fn the_same_bits_across_an_interruption_and_no_other_number_of_ranks() {
    let folder = folder();
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    // With all that happens between the gradients' sum over the ranks and the update.
    let more = [
        &SAME[..12],
        &["--epochs", "2", "--batch-size", "8", "--sync-bn", "--accumulate", "2"],
        &["--clip-norm", "1", "--ema", "0.9", "--precision", "mixed"],
    ]
    .concat();
    assert!(ended(training(&whole, &more)).status.success());
    let first = [&more[..], &["--max-steps", "5"]].concat();
    assert!(ended(training(&broken, &first)).status.success());

    let alone = Run::start(&["--resume"], &broken).finish().0;
    assert_eq!(alone.code(), Some(2));
    let three = ended(mpirun(3, &["train", "--resume", "--out", text(&broken)]));
    assert_eq!(three.status.code(), Some(2));
    assert_eq!(three.stderr.matches("mpirun -n 2").count(), 1, "{}", three.stderr);

    let rest = ended(training(&broken, &["--resume"]));
    assert!(rest.status.success(), "{}", rest.stderr);
    let bytes =
        |out: &Path| std::fs::read(out.join("checkpoint/last.safetensors")).expect("a file");
    assert_eq!(bytes(&whole), bytes(&broken));
}

#[test]
fn a_number_that_is_not_finite_is_traced_and_told_once() {
    let folder = folder();
    let more = [&SAME[..8], &["--lr", "1e30", "--batch-size", "16", "--trace-nan"]].concat();
    let ran = ended(training(&folder.path().join("run"), &more));
    assert_eq!(ran.status.code(), Some(1), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("evenkeel: ").count(), 1, "{}", ran.stderr);
    for said in ["not finite", "On rank ", "kernels/"] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
}

#[test]
fn errors_are_told_once_and_other_commands_are_refused() {
    let folder = folder();
    let out = folder.path().join("run");
    let wrong = ended(training(&out, &["--model", "resnett32"]));
    assert_eq!(wrong.status.code(), Some(2), "{}", wrong.stderr);
    assert_eq!(wrong.stderr.matches("did you mean").count(), 1, "{}", wrong.stderr);
    assert!(!out.exists());
    let devices = ended(mpirun(2, &["devices"]));
    assert_eq!(devices.status.code(), Some(2));
    assert!(devices.stderr.contains("without mpirun"), "{}", devices.stderr);
}
