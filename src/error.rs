//! Every way a request can fail, in words for the person who made it.
//!
//! An error says what was asked, what was found, and what to do. [`Error::exit_code`] separates a
//! wrong request (2) from a failure (1); nothing in the crate panics on a user's input.

use std::path::{Path, PathBuf};

/// The crate's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A wrong request: a flag, a recipe, a path that names nothing. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Shapes that do not fit an op. Exit code 2.
    #[error("{op}: {message}")]
    Shape {
        /// The op's public name, such as `conv2d`.
        op: &'static str,
        /// What was expected and both shapes found.
        message: String,
    },
    /// Data that is not what its format says: a truncated file, a label out of range. Exit code 1.
    #[error("{path}: {message}", path = path.display())]
    Data {
        /// The file at fault.
        path: PathBuf,
        /// What was found and what was expected.
        message: String,
    },
    /// A file that cannot be read or written. Exit code 1.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// `read`, `write`, `create`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// No adapter, a lost device, out of memory, a driver's refusal. Exit code 1.
    #[error("{0}")]
    Device(String),
    /// A kernel that needs more than this device allows. Exit code 1.
    #[error("{0}")]
    Beyond(String),
    /// A WGSL file that does not compile, with the file and line. Exit code 1.
    #[error("{0}")]
    Shader(String),
    /// A loss or gradient that is NaN or infinite. Exit code 1.
    #[error("{0}")]
    NonFinite(String),
    /// Stopped by Ctrl-C after saving. Exit code 130.
    #[error("{0}")]
    Interrupted(String),
    /// Anything else that went wrong while running. Exit code 1.
    #[error("{0}")]
    Failure(String),
    /// What ends all processes that train together, at the same place. Exit code of what it was.
    #[error("{}{source}", of_rank(*rank))]
    Together {
        /// The rank it happened on.
        rank: usize,
        /// This process tells it.
        told: bool,
        /// What happened.
        source: Box<Error>,
    },
}

/// Whose error it is; rank 0's need not be told apart.
fn of_rank(rank: usize) -> String {
    if rank == 0 { String::new() } else { format!("rank {rank}: ") }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The process's exit code for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) | Error::Shape { .. } => 2,
            Error::Interrupted(_) => 130,
            Error::Together { source, .. } => source.exit_code(),
            _ => 1,
        }
    }

    /// A file that could not be read, written or created.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Error::Io { action, path: path.to_path_buf(), source }
    }

    /// A file whose content is not what its format says.
    pub fn data(path: &Path, message: impl Into<String>) -> Self {
        Error::Data { path: path.to_path_buf(), message: message.into() }
    }

    /// A wrong request.
    pub fn usage(message: impl Into<String>) -> Self {
        Error::Usage(message.into())
    }
}

/// The entry of `valid` nearest to `wrong`, for "did you mean" (Jaro-Winkler similarity).
pub fn nearest<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .into_iter()
        .map(|v| (likeness(wrong, v), v))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, v)| v)
}

/// Names that an error lists at most.
const LISTED: usize = 24;

/// "unknown model `resnett32`; did you mean `resnet32`? Known: ...", as a wrong request. Of many names, the
/// nearest are listed.
pub fn unknown(what: &str, wrong: &str, valid: &[&str]) -> Error {
    let hint = nearest(wrong, valid.iter().copied())
        .map(|v| format!("; did you mean `{v}`?"))
        .unwrap_or_default();
    if valid.len() <= LISTED {
        return Error::Usage(format!("unknown {what} `{wrong}`{hint} Known: {}", valid.join(", ")));
    }
    let mut near: Vec<&str> = valid.to_vec();
    near.sort_by(|a, b| likeness(wrong, b).total_cmp(&likeness(wrong, a)));
    near.truncate(LISTED / 3);
    let (near, more) = (near.join(", "), valid.len() - LISTED / 3);
    Error::Usage(format!("unknown {what} `{wrong}`{hint} Near it: {near}, and {more} more"))
}

/// Jaro-Winkler similarity without regard to case.
fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
}
