//! What can go wrong around a run: kills at any moment, full and read-only disks, damaged checkpoints,
//! a lost device, data that change, two runs in one folder. Whatever happens, what was saved is whole,
//! the run says what is wrong, and resumed it ends with the bits of an unbroken one.

#[path = "common/run.rs"]
mod run;

use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use run::{Run, SHORT, SHORT_STEPS, bytes, done, folder, resume, same_bits, text, train, unbroken};
use serde_json::Value;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Steps of an epoch of [`SHORT`].
const EPOCH: u64 = SHORT_STEPS / 3;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(args).env_remove("EVENKEEL_DEVICE").stdin(Stdio::null());
    command
}

/// The command failed with `code` and said each of `words`.
fn fails(command: &mut Command, code: i32, words: &[&str]) -> String {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// A run of [`SHORT`] broken off after `steps` steps.
fn begun(steps: u64) -> TempDir {
    let out = folder();
    train(&[&SHORT[..], &["--max-steps", &steps.to_string()]].concat(), out.path());
    out
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("a copy")),
        }
    }
}

fn saved(out: &Path, name: &str) -> PathBuf {
    out.join("checkpoint").join(name)
}

/// The step of the newest checkpoint that is whole; `None` before the first.
fn kept(out: &Path) -> Option<u64> {
    let paths = ["last.safetensors", "previous.safetensors"].map(|name| saved(out, name));
    let there: Vec<_> = paths.iter().filter(|p| p.exists()).collect();
    let whole = there.iter().find_map(|p| Checkpoint::load_own(p).ok());
    assert!(there.is_empty() || whole.is_some(), "no checkpoint is whole: {there:?}");
    let position: Value = serde_json::from_str(whole?.meta.get("position")?).expect("JSON");
    position["step"].as_u64()
}

/// Starts a run, or goes on with it.
fn start(out: &Path) -> Child {
    let mut command = match out.join("config.toml").exists() {
        true => command(&["train", "--resume", "--quiet", "--out", text(out)]),
        false => command(&[&["train", "--quiet", "--out", text(out)], &SHORT[..]].concat()),
    };
    // Part of the recipe, and so of a checkpoint's bytes: as in the unbroken run.
    command.args(["--log-steps", "1"]);
    command.stdout(Stdio::null()).spawn().expect("the program starts")
}

/// Waits for `moment`; false when the run ends before it.
fn wait(child: &mut Child, mut moment: impl FnMut() -> bool) -> bool {
    while child.try_wait().expect("a process").is_none() {
        if moment() {
            return true;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    false
}

/// `EVENKEEL_KILLS` (2) kills, of which every other one falls into a save; `tools/kills` does many.
#[test]
fn kills_at_random_moments_lose_nothing() {
    let kills: u64 = std::env::var("EVENKEEL_KILLS").map_or(2, |n| n.parse().expect("a number"));
    let began = Instant::now();
    unbroken();
    let whole = began.elapsed();
    let (mut run, mut before) = (folder(), None);
    let (mut survived, mut in_saves, mut finished) = (0, 0, 0);
    while survived < kills {
        let out = run.path();
        let mut child = start(out);
        let in_save = survived % 2 == 1;
        let random = RandomState::new().hash_one(survived) % 10_000;
        let delay = whole.mul_f64(random as f64 / 10_000.0);
        let started = Instant::now();
        let staged =
            [".last.safetensors.tmp", ".best.safetensors.tmp"].map(|name| saved(out, name));
        let reached = wait(&mut child, || match in_save {
            true => staged.iter().any(|p| p.exists()),
            false => started.elapsed() >= delay,
        });
        if reached {
            child.kill().expect("the program is killed");
            child.wait().expect("the program ends");
            let now = kept(out);
            assert!(now >= before, "step {now:?} is left of {before:?} after a kill");
            (before, survived) = (now, survived + 1);
            in_saves += u64::from(in_save);
            continue;
        }
        assert!(child.wait().expect("the program ends").success());
        same_bits(out, "kills at random moments");
        (run, before, finished) = (folder(), None, finished + 1);
    }
    let mut child = start(run.path());
    assert!(child.wait().expect("the program ends").success());
    same_bits(run.path(), "kills at random moments");
    println!(
        "{survived} kills survived, {in_saves} of them in a save; {} runs ended with the bits of an unbroken one",
        finished + 1
    );
}

#[test]
#[cfg(unix)]
fn a_file_that_cannot_grow_stops_the_run_and_spoils_nothing() {
    let out = begun(EPOCH);
    let before = bytes(out.path(), "last.safetensors");
    // A limit smaller than a checkpoint stands for a full disk.
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" train --resume --quiet --out \"$1\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_evenkeel"), text(out.path())]);
    fails(&mut shell, 1, &["cannot write", "checkpoint", "--resume --out"]);
    assert!(bytes(out.path(), "last.safetensors") == before);
    let left: Vec<_> =
        std::fs::read_dir(out.path().join("checkpoint")).expect("a folder").collect();
    assert!(left.iter().flatten().all(|e| !text(&e.path()).ends_with(".tmp")), "{left:?}");
    resume(out.path());
    same_bits(out.path(), "a full disk");
}

/// The same on a file system that is full, where one may be mounted.
#[test]
#[cfg(target_os = "linux")]
fn a_full_file_system_stops_the_run_and_spoils_nothing() {
    let mount = |script: &str, args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]).args(args);
        command
    };
    let probe = mount("mount -t tmpfs none \"$0\"", &[text(folder().path())]).output();
    if !probe.is_ok_and(|o| o.status.success()) {
        println!("left out: this system lets no user mount a tmpfs");
        return;
    }
    let (out, small) = (begun(EPOCH), folder());
    let before = bytes(out.path(), "last.safetensors");
    // Room for what is there and half a checkpoint.
    let full = "mount -t tmpfs -o size=$(($(du -sk \"$1\" | cut -f1) + 40))k none \"$2\" || exit 9
        cp -r \"$1/.\" \"$2\" || exit 9
        \"$0\" train --resume --quiet --out \"$2\"; code=$?
        rm -r \"$1\" && cp -r \"$2\" \"$1\" && exit $code";
    let args = [env!("CARGO_BIN_EXE_evenkeel"), text(out.path()), text(small.path())];
    fails(&mut mount(full, &args), 1, &["No space left", "--resume --out"]);
    assert!(bytes(out.path(), "last.safetensors") == before);
    resume(out.path());
    same_bits(out.path(), "a full file system");
}

#[test]
#[cfg(unix)]
fn a_folder_that_is_read_only_is_told_and_left_as_it_is() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let home = begun(EPOCH);
    let before = bytes(home.path(), "last.safetensors");
    // Root may write anywhere, so that the program runs as nobody if this is root, from a place
    // that anyone may read.
    let place = folder();
    let program = place.path().join("evenkeel");
    std::fs::copy(env!("CARGO_BIN_EXE_evenkeel"), &program).expect("a copy");
    let allow = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
    };
    allow(place.path(), 0o755);
    let attempt = |args: &[&str]| {
        let mut command = Command::new(&program);
        if std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0) {
            command.uid(65_534).gid(65_534);
        }
        command.args(args).stdin(Stdio::null());
        command
    };
    allow(&home.path().join("checkpoint"), 0o555);
    allow(home.path(), 0o555);
    let (path, new) = (text(home.path()), home.path().join("new"));
    fails(&mut attempt(&["train", "--resume", "--out", path]), 1, &[path, "ermission denied"]);
    let fresh = ["train", "--out", text(&new)];
    fails(&mut attempt(&fresh), 1, &[text(&new), "cannot create", "ermission denied"]);
    allow(home.path(), 0o755);
    allow(&home.path().join("checkpoint"), 0o755);
    assert!(bytes(home.path(), "last.safetensors") == before);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let begun = begun(2 * EPOCH);
    let optimizer = |out: &Path| {
        let last = Checkpoint::load_own(&saved(out, "last.safetensors")).expect("a checkpoint");
        saved(out, last.meta.get("optimizer").expect("an optimizer file"))
    };
    let last = |out: &Path| saved(out, "last.safetensors");
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() * 3 / 4;
        bytes[at] ^= 4;
    };
    let halve = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    type Damage<'a> = (&'a dyn Fn(&Path) -> PathBuf, &'a dyn Fn(&mut Vec<u8>), &'a str);
    let damages: [Damage<'_>; 3] = [
        (&last, &flip, "checksum does not match"),
        (&last, &halve, "cut short"),
        (&optimizer, &flip, "checksum does not match"),
    ];
    for (file, spoil, why) in damages {
        let out = folder();
        copy(begun.path(), out.path());
        let path = file(out.path());
        let mut bytes = std::fs::read(&path).expect("a file");
        spoil(&mut bytes);
        std::fs::write(&path, bytes).expect("a file");
        let output = command(&["train", "--resume", "--quiet", "--out", text(out.path())]).output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        for word in [text(&path), why, "continuing from", "previous.safetensors"] {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
        same_bits(out.path(), why);
    }
    // With none left, the run does not start over by itself.
    for name in ["last.safetensors", "previous.safetensors"] {
        std::fs::write(saved(begun.path(), name), b"damaged").expect("a file");
    }
    let words = ["no usable checkpoint", "last.safetensors", "previous.safetensors"];
    fails(&mut command(&["train", "--resume", "--out", text(begun.path())]), 1, &words);
}

#[test]
fn a_lost_device_is_told_and_the_run_can_go_on() {
    let out = folder();
    let flags = ["train", "--quiet", "--out", text(out.path()), "--lose-device-at", "20"];
    let words = ["the device was lost", "train --resume --out"];
    fails(&mut command(&[&flags, &SHORT[..]].concat()), 1, &words);
    assert_eq!(kept(out.path()), Some(EPOCH));
    assert_eq!(done(&resume(out.path()))["step"], SHORT_STEPS);
    same_bits(out.path(), "a lost device");
}

#[test]
fn a_number_that_is_not_finite_is_traced_to_its_op() {
    let out = folder();
    let flags = ["train", "--quiet", "--trace-nan", "--out", text(out.path())];
    // A step that overshoots: the next one's first statistics overflow.
    let overshoots = [&flags[..], &SHORT, &["--lr", "1e30"]].concat();
    let said =
        fails(&mut command(&overshoots), 1, &["not finite at step 2", "Traced to batch_norm"]);
    for word in ["kernels/batchnorm/", "of bn1.weight", "NaN at [", "its inputs are finite, up to"]
    {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    // A parameter that is none: found where it is first used, not where it first shows.
    let path = saved(unbroken(), "best.safetensors");
    let mut poisoned = Checkpoint::load(&path).expect("a checkpoint");
    let weight = poisoned.tensors.iter_mut().find(|(name, ..)| name == "layer2.0.conv1.weight");
    match weight {
        Some((_, _, TensorData::F32(values))) => values[5] = f32::INFINITY,
        other => panic!("{other:?}"),
    }
    let init = out.path().join("poisoned.safetensors");
    poisoned.save(&init).expect("a file");
    let other = out.path().join("other");
    let begins = [&flags[..4], &[text(&other)], &SHORT, &["--init", text(&init)]];
    let words =
        ["not finite at step 1", "Traced to conv2d", "of layer2.0.conv1.weight", "given to it"];
    fails(&mut command(&begins.concat()), 1, &words);
}

/// Six pictures of each of two classes.
fn photos() -> TempDir {
    let folder = folder();
    for (class, shade) in [("cat", 40), ("dog", 200)] {
        std::fs::create_dir(folder.path().join(class)).expect("a folder");
        for i in 0..6 {
            photo(&folder.path().join(class).join(format!("{i}.png")), shade + i);
        }
    }
    folder
}

fn photo(path: &Path, shade: u8) {
    let picture = image::RgbImage::from_fn(32, 32, |x, y| {
        image::Rgb([shade, shade ^ x as u8, shade.wrapping_add(y as u8)])
    });
    picture.save(path).expect("a PNG file");
}

fn on(place: &Path, more: &[&str], out: &Path) -> Run {
    let flags = ["--dataset", "folder", "--data", text(place), "--imbalance", "1"];
    let size = ["--batch-size", "4", "--epochs", "6"];
    Run::start(&[&flags[..], &size, more].concat(), out)
}

#[test]
fn data_that_vanish_under_a_run_do_not_matter_to_it() {
    let (photos, undisturbed, out) = (photos(), folder(), folder());
    assert!(on(photos.path(), &[], undisturbed.path()).finish().0.success());
    let mut run = on(photos.path(), &[], out.path());
    run.until_step(1);
    std::fs::remove_dir_all(photos.path().join("cat")).expect("the folder goes");
    let (status, _) = run.finish();
    assert!(status.success());
    let parameters = |out: &Path| {
        let file = Checkpoint::load_own(&saved(out, "last.safetensors")).expect("a checkpoint");
        file.tensors
    };
    assert!(parameters(out.path()) == parameters(undisturbed.path()));
}

#[test]
fn a_run_is_not_resumed_on_other_data() {
    let (photos, out) = (photos(), folder());
    assert!(on(photos.path(), &["--max-steps", "3"], out.path()).finish().0.success());
    let again = ["train", "--resume", "--quiet", "--out", text(out.path())];
    for name in ["0", "1", "2", "3", "4", "5"] {
        photo(&photos.path().join("dog").join(format!("{name}.png")), 90);
    }
    fails(&mut command(&again), 1, &["data has changed", "training images differ"]);
    for name in ["6", "7", "8", "9"] {
        photo(&photos.path().join("dog").join(format!("{name}.png")), 91);
    }
    fails(&mut command(&again), 1, &["data has changed", "training images are now"]);
}

#[test]
fn a_second_run_in_a_folder_is_refused() {
    let out = folder();
    let mut first = Run::start(&SHORT, out.path());
    first.until_step(1);
    let path = text(out.path());
    let words = ["another run", &first.child.id().to_string(), "--out"].map(str::to_string);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    fails(&mut command(&["train", "--resume", "--out", path]), 2, &words);
    fails(&mut command(&["train", "--out", path]), 2, &words);
    first.until_step(2);
    first.child.kill().expect("the program is killed");
    first.child.wait().expect("the program ends");
}
