//! The program as its user runs it: arguments in; exit code, stdout and stderr out.

#![allow(dead_code, reason = "each test takes what it needs")]

use serde_json::Value;
use std::process::{Command, Stdio};

/// What a finished command left.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The command succeeded.
    pub fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// The command ended with `code` and said each of `words`.
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in: {}", self.err);
        }
    }

    /// Every line of stdout, which is JSON.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

/// The program with these arguments, not yet started.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(args).env_remove("EVENKEEL_DEVICE").stdin(Stdio::null());
    command
}

/// Runs it to its end; a panic is a failure.
pub fn finish(mut command: Command) -> Ran {
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran =
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

/// The program with these arguments, run.
pub fn evenkeel(args: &[&str]) -> Ran {
    finish(command(args))
}
