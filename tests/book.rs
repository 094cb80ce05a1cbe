//! The book of lessons, without mdBook: its chapters are the lessons, what they include is there, and the
//! commands they name exist.

use evenkeel::bench::kernels::select;
use evenkeel::lesson::{LESSONS, Task};
use evenkeel_kernels::catalog;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names of the files in a folder of the book that end so.
fn files(folder: &str, ending: &str) -> BTreeSet<String> {
    let folder = root().join("docs/book").join(folder);
    let entries = std::fs::read_dir(&folder).expect("a folder").flatten();
    let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|n| n.ends_with(ending)).collect()
}

/// The chapters: file name and text.
fn chapters() -> Vec<(String, String)> {
    let read = |name: String| {
        let text = text(&root().join("docs/book/src").join(&name));
        (name, text)
    };
    files("src", ".md").into_iter().filter(|n| n != "SUMMARY.md").map(read).collect()
}

/// What stands between `open` and `close`, as often as it does.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| Some(rest.split_once(close)?.0)).collect()
}

/// The arguments of the `evenkeel` commands that stand on lines of their own.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|l| l.strip_prefix("    evenkeel "))
}

/// The `{{#include …}}` of the chapters: the file, and the anchor if there is one.
fn includes() -> Vec<(PathBuf, Option<String>)> {
    let mut found = Vec::new();
    for (name, text) in chapters() {
        for what in between(&text, "{{#", "}}") {
            let path = what.strip_prefix("include ").unwrap_or_else(|| panic!("{name}: {what}"));
            let (path, anchor) = match path.split_once(':') {
                Some((path, anchor)) => (path, Some(anchor.to_string())),
                None => (path, None),
            };
            let path = root().join("docs/book/src").join(path);
            let path = path.canonicalize().unwrap_or_else(|e| panic!("{name}: {what}: {e}"));
            found.push((path, anchor));
        }
    }
    found
}

#[test]
fn the_summary_lists_every_chapter_and_the_chapters_are_the_lessons() {
    let summary = text(&root().join("docs/book/src/SUMMARY.md"));
    let listed: Vec<&str> = between(&summary, "](", ")");
    let there: BTreeSet<String> = chapters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed.iter().map(|n| n.to_string()).collect::<BTreeSet<_>>(), there);
    let lessons: Vec<String> = LESSONS.iter().map(|l| format!("{}.md", l.name)).collect();
    assert_eq!(listed[0], "introduction.md");
    assert_eq!(listed[1..], lessons);
    for lesson in &LESSONS {
        assert!(summary.contains(&format!("[{}. {}]", lesson.number, lesson.title)), "{summary}");
    }
}

#[test]
fn every_chapter_has_its_parts_and_its_exercise() {
    for lesson in &LESSONS {
        let name = lesson.name;
        let chapter = text(&root().join(format!("docs/book/src/{name}.md")));
        let heads: Vec<&str> = chapter.lines().filter(|l| l.starts_with('#')).collect();
        let title = format!("# {}", lesson.title);
        let parts = ["Equation", "Derivation", "The lines", "What to measure", "Exercise"];
        let wanted: Vec<String> =
            std::iter::once(title).chain(parts.map(|p| format!("## {p}"))).collect();
        assert_eq!(heads, wanted, "{name}");
        assert!(chapter.contains(&format!("{{{{#include ../exercises/{name}.md}}}}")), "{name}");
        let flag = match lesson.task {
            Task::Kernel(_) => "--check",
            Task::Numbers(_) => "--answer",
        };
        let usage: Vec<&str> =
            commands(&chapter).filter_map(|c| c.strip_prefix("lesson ")).collect();
        let own = |u: &&str| u.split(' ').next() == Some(&lesson.number.to_string());
        assert!(usage.iter().all(own) && usage.iter().any(|u| u.contains(flag)), "{usage:?}");
        let code = between(&chapter, "{{#include ../../../", "}}").len();
        assert!(code >= 1 || name == "memory", "{name} includes no code");
    }
}

#[test]
fn what_the_chapters_include_is_there() {
    for (path, anchor) in includes() {
        let text = text(&path);
        let marks = |mark: &str| text.lines().filter(|l| l.trim_start() == mark).count();
        match anchor {
            // Numbers of lines would be wrong after the next edit.
            Some(name) => {
                assert!(name.parse::<usize>().is_err(), "{}: {name}", path.display());
                for mark in [format!("// ANCHOR: {name}"), format!("// ANCHOR_END: {name}")] {
                    assert_eq!(marks(&mark), 1, "{}: {mark}", path.display());
                }
            }
            None => assert!(!text.contains("ANCHOR"), "{} is included whole", path.display()),
        }
    }
}

#[test]
fn no_anchor_is_left_over() {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let used: BTreeSet<(PathBuf, Option<String>)> = includes().into_iter().collect();
    let mut sources = Vec::new();
    for folder in ["src", "kernels", "shaders", "examples"] {
        walk(&root().join(folder), &mut sources);
    }
    for path in sources {
        let path = path.canonicalize().expect("a path");
        for name in between(&text(&path), "// ANCHOR: ", "\n") {
            let key = (path.clone(), Some(name.trim().to_string()));
            assert!(used.contains(&key), "{}: {name} is in no chapter", path.display());
        }
    }
}

#[test]
fn exercises_and_answers_are_those_of_the_lessons() {
    let all: BTreeSet<String> = LESSONS.iter().map(|l| format!("{}.md", l.name)).collect();
    assert_eq!(files("exercises", ".md"), all);
    let kernels = LESSONS.iter().filter(|l| matches!(l.task, Task::Kernel(_)));
    let kernels: BTreeSet<String> = kernels.map(|l| format!("{}.wgsl", l.name)).collect();
    assert_eq!(files("exercises", ".wgsl"), kernels);
    assert_eq!(files("answers", ".wgsl"), kernels);
}

#[test]
fn the_commands_to_measure_with_exist() {
    let kernels: Vec<String> = catalog::all().into_iter().map(|k| k.name).collect();
    let mut seen = 0;
    for (name, text) in chapters() {
        for line in commands(&text) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["bench", "step" | "limits", ..] => seen += 1,
                ["bench", bench, ..] => {
                    let found = select(&[bench.to_string()]);
                    assert!(found.is_ok(), "{name}: {line}");
                    seen += 1;
                }
                ["inspect", "kernel", kernel, ..] => {
                    assert!(kernels.iter().any(|k| k == kernel), "{name}: {line}");
                    seen += 1;
                }
                ["inspect" | "report" | "train" | "check" | "lesson", ..] => {}
                _ => panic!("{name}: {line}"),
            }
        }
    }
    assert!(seen >= 11, "{seen} measurements");
}

#[test]
fn the_book_needs_no_network() {
    for (name, text) in chapters() {
        for far in ["http:", "https:", "<script", "$$", "\\("] {
            assert!(!text.contains(far), "{name}: {far}");
        }
    }
    assert!(!text(&root().join("docs/book/book.toml")).contains("mathjax"));
}
