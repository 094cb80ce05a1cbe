//! The lessons: every answer passes its check and no starter does, numbers are judged, and bad input is
//! told clearly. Nothing here looks at a time.

mod common;

use evenkeel::gpu::Gpu;
use evenkeel::lesson::check::{Outcome, check, read};
use evenkeel::lesson::{Exercise, LESSONS, Lesson, Task, find};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

/// `docs/book/PLACE/NAME.wgsl`.
fn file(place: &str, name: &str) -> PathBuf {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/book");
    book.join(place).join(format!("{name}.wgsl"))
}

/// The lessons that ask for a kernel.
fn kernels() -> impl Iterator<Item = (&'static Lesson, &'static Exercise)> {
    LESSONS.iter().filter_map(|l| match &l.task {
        Task::Kernel(exercise) => Some((l, exercise)),
        Task::Numbers(_) => None,
    })
}

fn exercise(name: &str) -> &'static Exercise {
    match &find(name).expect("a lesson").task {
        Task::Kernel(exercise) => exercise,
        Task::Numbers(_) => panic!("{name} asks for numbers"),
    }
}

/// What becomes of `text` as an answer to a lesson: nothing, or what is said.
fn judged(gpu: &Rc<Gpu>, lesson: &str, text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.wgsl");
    std::fs::write(&path, text).expect("a file");
    let source = read(&path).map_err(|e| e.to_string())?;
    match check(gpu, exercise(lesson), source).map_err(|e| e.to_string())? {
        Outcome::Right(_) => Ok(()),
        Outcome::Wrong(wrong) => Err(wrong.to_string()),
    }
}

fn answer(name: &str) -> String {
    std::fs::read_to_string(file("answers", name)).expect("an answer")
}

/// The answer with `from` replaced, which must be in it.
fn broken(name: &str, from: &str, to: &str) -> String {
    let text = answer(name);
    assert!(text.contains(from), "{name} has no `{from}`");
    text.replace(from, to)
}

/// A wrong kernel is told by each of `words`.
fn fails(gpu: &Rc<Gpu>, lesson: &str, text: &str, words: &[&str]) {
    let said = judged(gpu, lesson, text).expect_err("a wrong kernel");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn every_answer_is_right() {
    let gpu = common::gpu();
    for (lesson, exercise) in kernels() {
        let source = read(&file("answers", lesson.name)).expect("an answer");
        match check(&gpu, exercise, source) {
            Ok(Outcome::Right(right)) => assert!(right.trials >= 5, "{}", lesson.name),
            Ok(Outcome::Wrong(wrong)) => panic!("{}: {wrong}", lesson.name),
            Err(e) => panic!("{}: {e}", lesson.name),
        }
    }
}

#[test]
fn no_starter_is_right_and_every_one_compiles() {
    let gpu = common::gpu();
    for (lesson, exercise) in kernels() {
        let path = file("exercises", lesson.name);
        assert_eq!(std::fs::read_to_string(&path).expect("a starter"), exercise.starter);
        match check(&gpu, exercise, read(&path).expect("a starter")) {
            Ok(Outcome::Wrong(_)) => {}
            Ok(Outcome::Right(_)) => panic!("{} is solved by its starter", lesson.name),
            Err(e) => panic!("{}: {e}", lesson.name),
        }
    }
}

#[test]
fn the_traps_of_each_exercise_are_sprung() {
    let gpu = common::gpu();
    // exp of 1000 without the shift
    let naive = broken("cross-entropy", "workgroup_max(vec4<f32>(top), thread).x", "0.0");
    fails(&gpu, "cross-entropy", &naive, &["logits of about 1000"]);
    // E[x²] − E[x]²
    let text = broken("batch-norm", "let pivot = x[element(c, 0u)]", "let pivot = 0.0");
    let text = text.replace("d * d, g", "x[element(c, i)] * x[element(c, i)], g");
    let text =
        text.replace("sums.x / f32(COUNT) + 1e-5", "sums.x / f32(COUNT) - mean * mean + 1e-5");
    fails(&gpu, "batch-norm", &text, &["mean 1000"]);
    // 0/0 at β = 0
    fails(&gpu, "nbn", &broken("nbn", "if n == 0.0 {", "if false {"), &["β = 0", "dbeta"]);
    // no projection: right only where v·u is 0
    fails(&gpu, "nbn", &broken("nbn", "u - dot / n * (v / (n + EPS))", "u"), &["dgamma[0]"]);
    // a forward convolution for the backward one
    let flipped = broken("convolution", "id.y + 1u - kh", "id.y + kh - 1u");
    fails(&gpu, "convolution", &flipped, &["dx["]);
    // one thread that adds a long row
    let serial = broken("reductions", "const THREADS: u32 = 64u", "const THREADS: u32 = 1u");
    fails(&gpu, "reductions", &serial, &["y["]);
    // columns beyond the last multiple of a tile
    let ragged = broken("launch", "first >= N", "first + TILE_X > N");
    fails(&gpu, "launch", &ragged, &["M=1 N=1 K=1", "nothing was written to `c`"]);
}

#[test]
fn the_first_wrong_element_is_named() {
    let gpu = common::gpu();
    let text = broken("layout", "y[i] =", "if i != 7u { y[i] = 0.0; } y[i] =");
    assert_eq!(judged(&gpu, "layout", &text), Ok(()));
    let text = broken("layout", "y[i] = x", "if i == 7u { y[i] = 9.5; return; }\n y[i] = x");
    let words = ["N=2 C=3 H=4 W=5: y[0, 0, 2, 1] is 9.5", "it should be", "(1 of 120 elements"];
    fails(&gpu, "layout", &text, &words);
    let text = broken("layout", "y[i] = x", "if i == 7u { return; }\n y[i] = x");
    fails(&gpu, "layout", &text, &["y[0, 0, 2, 1] was not written; it should be"]);
    let nan = "if i == 7u { y[i] = bitcast<f32>(0x7fc00000u | (i & 8u)); return; }\n y[i] = x";
    fails(&gpu, "layout", &broken("layout", "y[i] = x", nan), &["y[0, 0, 2, 1] is NaN"]);
    fails(
        &gpu,
        "layout",
        &broken("layout", "y[i] = x", "let v = x"),
        &["nothing was written to `y`"],
    );
}

#[test]
fn a_kernel_that_does_not_fit_is_told_why() {
    let gpu = common::gpu();
    let fails = |text: &str, words: &[&str]| fails(&gpu, "layout", text, words);
    fails("fn main(", &["mine.wgsl:1: "]);
    fails(
        &broken("layout", "let c = i % C;", "let c = i % D;"),
        &["mine.wgsl:16: ", "D", "let c = i % D"],
    );
    fails(&broken("layout", "let c = i % C;", "let c: f32 = i % C;"), &["mine.wgsl:16: "]);
    fails(&broken("layout", "fn main", "fn first"), &["no entry point `main` (there: first)"]);
    fails("", &["mine.wgsl: no entry point `main` (there: none)"]);
    let moved = broken("layout", "binding(1)", "binding(2)");
    fails(&moved, &["binding 1 is missing", "@binding(1) var<storage, read_write> y"]);
    let constant = broken("layout", "storage, read_write", "storage, read");
    fails(&constant.replace("y[i] =", "let v ="), &["binding 1 must be", "read_write> y"]);
    let writable = broken("layout", "storage, read>", "storage, read_write>");
    fails(&writable, &["binding 0 must be", "storage, read> x"]);
    let extra = answer("layout") + "@group(0) @binding(2) var<storage, read> more: array<f32>;";
    fails(&extra, &["binding 2 (`more`) is too many"]);
    fails(&answer("layout").replace("group(0)", "group(1)"), &["group 0, not 1"]);
    let large = broken("layout", "workgroup_size(64)", "workgroup_size(8192)");
    fails(&large, &["a workgroup of 8192 × 1 × 1", "at most"]);
    let memory = broken("layout", "let c = i % C;", "let c = i % C; tile[0] = 1.0;");
    let memory = memory + "var<workgroup> tile: array<f32, 1000000>;";
    fails(&memory, &["4000000 bytes of workgroup memory", "this device has"]);
    let fixed = broken("layout", "x: array<f32>", "x: array<f32, 1000000>");
    fails(&fixed, &["N=1 C=1 H=1 W=1", "4000000"]);
    let small = broken("layout", "workgroup_size(64)", "workgroup_size(1)");
    fails(&small, &["N=32 C=16 H=32 W=32", "[524288, 1, 1] workgroups"]);
    let none = answer("layout") + "const TILE_X: u32 = 0u;";
    fails(&none, &["TILE_X cannot be 0"]);
    fails("#include \"nothing.wgsl\"", &["mine.wgsl:1: ", "no file for #include"]);
}

#[test]
fn inputs_may_be_read_as_the_engine_reads_them() {
    let gpu = common::gpu();
    let text = answer("layout");
    let declared = "@group(0) @binding(0) var<storage, read> x: array<f32>;";
    assert!(text.contains(declared));
    let text = text.replace(declared, "#input x 0 f32").replace("] = x[", "] = x(");
    let text = text.replace("+ pixel]", "+ pixel)");
    assert_eq!(judged(&gpu, "layout", &text), Ok(()));
}

/// What the program did: exit code, stdout, stderr.
fn evenkeel(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.arg("lesson").args(args).env_remove("EVENKEEL_DEVICE").stdin(Stdio::null());
    let ran = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (ran.status.code(), out, err)
}

/// The command ends with `code` and says each of `words` on stderr.
fn refused(args: &[&str], code: i32, words: &[&str]) {
    let (found, out, err) = evenkeel(args);
    assert_eq!(found, Some(code), "{out}{err}");
    for word in words {
        assert!(err.contains(word), "`{word}` is not in: {err}");
    }
}

fn fine(args: &[&str]) -> String {
    let (code, out, err) = evenkeel(args);
    assert_eq!(code, Some(0), "{args:?}: {err}");
    out
}

#[test]
fn lessons_are_listed_and_told() {
    let list = fine(&[]);
    for lesson in &LESSONS {
        assert!(list.contains(lesson.title), "{list}");
        let told = fine(&[lesson.name]);
        assert!(
            told.contains(lesson.text.trim_end()) && told.contains("evenkeel lesson"),
            "{told}"
        );
    }
    let told = fine(&["6"]);
    let words = [
        "7  db       var<storage, read_write>",
        "N=4 C=3 PLANE=64 (mean 1000)",
        "--start FILE.wgsl",
    ];
    for words in words {
        assert!(told.contains(words), "{told}");
    }
    refused(&["12"], 2, &["no lesson 12", "1 to 11"]);
    refused(&["reduction"], 2, &["did you mean `reductions`?"]);
}

#[test]
fn a_starter_is_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sum.wgsl");
    let name = path.to_str().expect("UTF-8");
    fine(&["3", "--start", name]);
    let text = std::fs::read_to_string(&path).expect("the starter");
    assert_eq!(text, exercise("reductions").starter);
    std::fs::write(&path, "mine").expect("a file");
    refused(&["3", "--start", name], 2, &["exists already"]);
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "mine");
    refused(
        &["3", "--start", folder.path().join("no/sum.wgsl").to_str().expect("UTF-8")],
        1,
        &["cannot create"],
    );
    refused(&["9", "--start", name], 2, &["asks for numbers"]);
}

#[test]
fn a_right_kernel_is_timed_and_a_wrong_one_fails() {
    let path = file("answers", "nbn");
    let name = path.to_str().expect("UTF-8");
    let found: Value =
        serde_json::from_str(&fine(&["7", "--check", name, "--json"])).expect("JSON");
    assert_eq!((&found["right"], &found["lesson"]), (&true.into(), &7.into()), "{found}");
    for key in ["ms", "gflops", "gbytes", "limit_ms", "rate", "share_of_limit", "engine_ms"] {
        assert!(found[key].as_f64() > Some(0.0), "{key} in {found}");
    }
    let engine = found["engine"].to_string();
    assert!(engine.contains("backward_finalize.wgsl:finalize"), "{engine}");
    let said = fine(&["7", "--check", name]);
    for words in ["right on all", "of this device's limit", "the engine's"] {
        assert!(said.contains(words), "{said}");
    }
    let path = file("exercises", "nbn");
    let name = path.to_str().expect("UTF-8");
    refused(&["7", "--check", name], 1, &["nbn.wgsl: C=1: dgamma[0] is", "it should be"]);
    let (code, out, _) = evenkeel(&["7", "--check", name, "--json"]);
    let found: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &found["right"], &found["output"]),
        (Some(1), &false.into(), &"dgamma".into())
    );
}

#[test]
fn files_and_flags_that_do_not_fit_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().to_str().expect("UTF-8");
    refused(&["2", "--check", &format!("{place}/none.wgsl")], 1, &["none.wgsl: cannot read"]);
    refused(&["2", "--check", place], 1, &["cannot read"]);
    let binary = format!("{place}/binary.wgsl");
    std::fs::write(&binary, [0xff, 0xfe, 0]).expect("a file");
    refused(&["2", "--check", &binary], 1, &["no text in UTF-8"]);
    std::fs::write(&binary, vec![b' '; 2 << 20]).expect("a file");
    refused(&["2", "--check", &binary], 1, &["larger than 1 MiB"]);
    refused(&["8", "--check", &binary], 2, &["asks for numbers", "--answer A1 A2"]);
    refused(&["2", "--answer", "1"], 2, &["asks for a kernel"]);
    refused(&["--check", &binary], 2, &["WHICH"]);
    refused(&["2", "--json"], 2, &["--check"]);
}

#[test]
fn numbers_are_judged_by_what_the_engine_computes() {
    let right = [
        ("8", &["69", "12608", "18", "33.4", "41"][..]),
        ("9", &["32", "-9", "8", "12", "2", "10"]),
        ("10", &["24832", "16640", "16640"]),
        ("11", &["604", "16.8", "5.54", "9.3", "62.3", "1.65"]),
    ];
    for (number, numbers) in right {
        let given = [&[number, "--answer"], numbers].concat();
        assert!(fine(&given).contains("right, all"), "{given:?}");
        for i in 0..numbers.len() {
            let mut given = given.clone();
            given[2 + i] = "7";
            refused(&given, 1, &[&format!("A{} is not 7", i + 1)]);
        }
        refused(&given[..given.len() - 1], 2, &["numbers, and", "--answer A1"]);
    }
    refused(&["8", "--answer", "many"], 2, &["invalid value 'many'"]);
}
