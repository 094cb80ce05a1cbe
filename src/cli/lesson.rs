//! `evenkeel lesson`: the book's exercises. Lists them, tells one, writes the file to start from, checks
//! a reader's kernel and says how fast it is, or checks numbers.

use crate::bench::clock::Basis;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::lesson::check::{self, Outcome, Wrong};
use crate::lesson::numbers::{Question, answers, first_wrong};
use crate::lesson::speed::{Speed, speed};
use crate::lesson::{self, Exercise, LESSONS, Lesson, Task};
use crate::train::progress::say;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `lesson`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A lesson's number or name; without one, the list
    which: Option<String>,
    /// Write the file to start from; one that exists is left as it is
    #[arg(long, value_name = "FILE", requires = "which")]
    start: Option<PathBuf>,
    /// Check your kernel, and time it if it is right
    #[arg(long, value_name = "FILE", requires = "which", conflicts_with_all = ["start", "answer"])]
    check: Option<PathBuf>,
    /// Check your numbers, in the order of the questions
    #[arg(long, num_args = 1.., value_name = "NUMBER", requires = "which",
        allow_negative_numbers = true, conflicts_with = "start")]
    answer: Option<Vec<f64>>,
    /// Rates and shares from processor time over all cores: for a software device on a busy machine
    #[arg(long, requires = "check")]
    cpu_time: bool,
    /// Adapter, by number or part of its name
    #[arg(long)]
    device: Option<String>,
    /// One JSON object on stdout about a kernel checked
    #[arg(long, requires = "check")]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let Some(which) = &args.which else {
        list();
        return Ok(());
    };
    let lesson = lesson::find(which)?;
    match &lesson.task {
        Task::Kernel(exercise) => {
            if args.answer.is_some() {
                let n = lesson.number;
                let message =
                    format!("lesson {n} asks for a kernel: evenkeel lesson {n} --check FILE");
                return Err(Error::usage(message));
            }
            match (&args.start, &args.check) {
                (Some(file), _) => start(lesson, exercise, file),
                (_, Some(file)) => kernel(args, lesson, exercise, file),
                _ => {
                    tell_kernel(lesson, exercise);
                    Ok(())
                }
            }
        }
        Task::Numbers(questions) => {
            if args.start.is_some() || args.check.is_some() {
                return Err(Error::usage(format!(
                    "lesson {} asks for numbers, not for a kernel: {}",
                    lesson.number,
                    usage(lesson, questions)
                )));
            }
            match &args.answer {
                Some(given) => numbers(args, lesson, questions, given),
                None => {
                    tell_numbers(lesson, questions);
                    Ok(())
                }
            }
        }
    }
}

fn list() {
    for l in &LESSONS {
        let asks = match &l.task {
            Task::Kernel(_) => "a kernel",
            Task::Numbers(_) => "numbers",
        };
        say(format_args!("{:>2}  {:<14} {:<46} {asks}", l.number, l.name, l.title));
    }
    say(
        "\nThe chapters are in docs/book (tools/book makes pages of them). `evenkeel lesson N` tells an exercise.",
    );
}

fn head(lesson: &Lesson) {
    say(format_args!("Lesson {}: {}\n\n{}", lesson.number, lesson.title, lesson.text.trim_end()));
}

fn tell_kernel(lesson: &Lesson, exercise: &Exercise) {
    head(lesson);
    say("\nBindings, all in group 0:");
    let read = exercise.inputs.iter().map(|n| (n, "read"));
    let written = exercise.outputs.iter().map(|n| (n, "read_write"));
    for (i, (name, access)) in read.chain(written).enumerate() {
        say(format_args!("  {i}  {name:<8} var<storage, {access}>"));
    }
    say(format_args!("Constants at the head of the file: {}", exercise.sizes.join(", ")));
    say("Tried on (and timed on the last):");
    for trial in (exercise.trials)() {
        say(format_args!("  {}", check::describe(exercise, &trial)));
    }
    say(format_args!(
        "\nevenkeel lesson {0} --start FILE.wgsl writes the file to start from;\n\
         evenkeel lesson {0} --check FILE.wgsl says whether it is right, and how fast.",
        lesson.number
    ));
}

/// Writes the starter, unless something is there.
fn start(lesson: &Lesson, exercise: &Exercise, path: &Path) -> Result<()> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = made.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Error::usage(format!(
            "{} exists already and is left as it is; name another file",
            path.display()
        )),
        _ => Error::io("create", path, e),
    })?;
    file.write_all(exercise.starter.as_bytes()).map_err(|e| Error::io("write", path, e))?;
    let path = path.display();
    say(format_args!("{path} is there; evenkeel lesson {} --check {path}", lesson.number));
    Ok(())
}

fn kernel(args: &Args, lesson: &Lesson, exercise: &Exercise, path: &Path) -> Result<()> {
    let source = check::read(path)?;
    let gpu = Gpu::open(args.device.as_deref())?;
    let right = match check::check(&gpu, exercise, source)? {
        Outcome::Right(right) => right,
        Outcome::Wrong(wrong) => {
            if args.json {
                say(wrong_json(lesson, &wrong));
            }
            return Err(Error::Failure(format!("{}: {wrong}", path.display())));
        }
    };
    if !args.json {
        say(format_args!("{}", gpu.describe()));
        say(format_args!(
            "right on all {} sets of inputs; the largest error is {:.0} % of what is allowed",
            right.trials,
            100.0 * right.worst
        ));
    }
    let basis = if args.cpu_time { Basis::Processor } else { Basis::Wall };
    let found = speed(&gpu, exercise, &right, basis)?;
    let shape = check::describe(exercise, &right.trial);
    let bytes = found.cost.read + found.cost.written;
    let per_second = |n: u64| n as f64 / found.own / 1e6;
    if args.json {
        let line = json!({
            "lesson": lesson.number, "right": true, "trials": right.trials, "worst": right.worst,
            "device": gpu.describe(), "shape": shape, "ms": found.own,
            "gflops": per_second(found.cost.flops), "gbytes": per_second(bytes),
            "limit_ms": found.limit, "bound": found.bound, "rate": found.rate,
            "share_of_limit": found.limit / found.own, "engine_ms": found.engine,
            "engine": found.kernels,
        });
        say(line);
        return Ok(());
    }
    say(format_args!(
        "at {shape}: {:.3} ms, {:.2} GFLOP/s, {:.2} GB/s",
        found.own,
        per_second(found.cost.flops),
        per_second(bytes)
    ));
    print_speed(&found);
    Ok(())
}

fn print_speed(found: &Speed) {
    use crate::bench::limits::Bound;
    let why = match found.bound {
        Bound::Fma => format!("multiply-adds at {:.1} GFLOP/s", found.rate),
        Bound::Copy => format!("bytes copied at {:.2} GB/s", found.rate),
        Bound::Dispatch => format!("{:.1} µs for a dispatch", found.rate),
    };
    say(format_args!(
        "{:.1} % of this device's limit, {:.3} ms ({why})",
        100.0 * found.limit / found.own,
        found.limit
    ));
    let (ratio, word) = match found.own / found.engine {
        r if r >= 1.0 => (r, "slower than"),
        r => (1.0 / r, "faster than"),
    };
    say(format_args!(
        "{ratio:.2} times {word} the engine's {:.3} ms: {}",
        found.engine,
        found.kernels.join(", ")
    ));
}

fn wrong_json(lesson: &Lesson, wrong: &Wrong) -> serde_json::Value {
    // JSON has no NaN.
    let got = wrong.got.map(|v| if v.is_finite() { json!(v) } else { json!(v.to_string()) });
    json!({
        "lesson": lesson.number, "right": false, "trial": wrong.trial, "output": wrong.output,
        "index": wrong.index, "got": got, "wanted": wrong.wanted, "wrong": wrong.count,
        "elements": wrong.of, "nothing_written": wrong.nothing,
    })
}

fn usage(lesson: &Lesson, questions: &[Question]) -> String {
    let names: Vec<String> = (1..=questions.len()).map(|i| format!("A{i}")).collect();
    format!("evenkeel lesson {} --answer {}", lesson.number, names.join(" "))
}

fn tell_numbers(lesson: &Lesson, questions: &[Question]) {
    head(lesson);
    say("");
    for (i, q) in questions.iter().enumerate() {
        let digits = if q.within == 0.0 { "exactly" } else { "to three digits" };
        say(format_args!("  A{}  {} ({digits})", i + 1, q.text));
    }
    say(format_args!("\n{}", usage(lesson, questions)));
}

fn numbers(args: &Args, lesson: &Lesson, questions: &[Question], given: &[f64]) -> Result<()> {
    if given.len() != questions.len() {
        return Err(Error::usage(format!(
            "lesson {} asks for {} numbers, and {} were given: {}",
            lesson.number,
            questions.len(),
            given.len(),
            usage(lesson, questions)
        )));
    }
    let right = answers(lesson.number, args.device.as_deref())?;
    match first_wrong(questions, &right, given) {
        None => {
            say(format_args!("right, all {}", questions.len()));
            Ok(())
        }
        Some(i) => {
            Err(Error::Failure(format!("A{} is not {}: {}", i + 1, given[i], questions[i].text)))
        }
    }
}
