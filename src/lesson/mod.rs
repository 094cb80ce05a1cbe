//! The lessons' exercises (`docs/book`): what each asks for, and whether an answer is right.
//!
//! [`LESSONS`] lists the chapters. Some ask for a kernel ([`Exercise`]): [`check`] compiles the reader's
//! `.wgsl` as the engine compiles its own, runs it on several shapes and holds every element against
//! the 64-bit reference; [`speed`] then times it beside the device's limits and the engine's own
//! kernel. Others ask for numbers ([`numbers`]), which the engine computes when it is asked.

pub mod check;
mod exercise;
mod exercises;
pub mod numbers;
pub mod speed;

pub use exercise::{Exercise, Grid, Trial};
pub use numbers::Question;

use crate::error::{Error, Result, nearest};

/// A chapter of the book with its exercise.
pub struct Lesson {
    /// From 1.
    pub number: usize,
    /// Its word in commands and the stem of its files: `reductions`.
    pub name: &'static str,
    /// The chapter's title.
    pub title: &'static str,
    /// The exercise as the book tells it.
    pub text: &'static str,
    /// What is asked for.
    pub task: Task,
}

/// What an exercise asks for.
pub enum Task {
    /// A kernel.
    Kernel(Exercise),
    /// Numbers.
    Numbers(&'static [Question]),
}

/// A lesson whose statement is `docs/book/exercises/NAME.md`.
macro_rules! lesson {
    ($number:literal, $name:literal, $title:literal, $task:expr) => {
        Lesson {
            number: $number,
            name: $name,
            title: $title,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/docs/book/exercises/",
                $name,
                ".md"
            )),
            task: $task,
        }
    };
}

/// Every lesson, in the book's order.
pub static LESSONS: [Lesson; 11] = [
    lesson!(1, "layout", "The tensor and its layout", Task::Kernel(exercises::LAYOUT)),
    lesson!(2, "launch", "A kernel and its launch", Task::Kernel(exercises::LAUNCH)),
    lesson!(3, "reductions", "Reductions", Task::Kernel(exercises::REDUCTIONS)),
    lesson!(
        4,
        "cross-entropy",
        "Softmax and cross-entropy",
        Task::Kernel(exercises::CROSS_ENTROPY)
    ),
    lesson!(5, "convolution", "Convolution three ways", Task::Kernel(exercises::CONVOLUTION)),
    lesson!(
        6,
        "batch-norm",
        "Batch norm, forward and backward",
        Task::Kernel(exercises::BATCH_NORM)
    ),
    lesson!(7, "nbn", "NBN: norms, projection, the zero-bias trap", Task::Kernel(exercises::NBN)),
    lesson!(8, "long-tails", "Long tails and what features do", Task::Numbers(numbers::LONG_TAILS)),
    lesson!(9, "autodiff", "Autodiff by tracing", Task::Numbers(numbers::AUTODIFF)),
    lesson!(10, "memory", "Planning memory", Task::Numbers(numbers::MEMORY)),
    lesson!(11, "measuring", "Measuring honestly", Task::Numbers(numbers::MEASURING)),
];

/// The lesson of a number or name.
///
/// # Errors
/// There is none: the range of numbers, or the nearest name.
pub fn find(which: &str) -> Result<&'static Lesson> {
    let found = match which.parse::<usize>() {
        Ok(number) => LESSONS.iter().find(|l| l.number == number),
        Err(_) => LESSONS.iter().find(|l| l.name == which),
    };
    found.ok_or_else(|| {
        let names = LESSONS.iter().map(|l| l.name);
        let hint = match (which.parse::<f64>(), nearest(which, names)) {
            (Err(_), Some(name)) => format!("; did you mean `{name}`?"),
            _ => ".".into(),
        };
        Error::usage(format!(
            "there is no lesson {which}{hint} They are numbered 1 to {}; `evenkeel lesson` lists them",
            LESSONS.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lessons_are_numbered_in_order_and_found_by_number_and_name() -> Result<()> {
        for (i, lesson) in LESSONS.iter().enumerate() {
            assert_eq!(lesson.number, i + 1);
            assert_eq!(find(&lesson.number.to_string())?.name, lesson.name);
            assert_eq!(find(lesson.name)?.number, lesson.number);
        }
        Ok(())
    }

    #[test]
    fn an_unknown_lesson_is_told_the_range_or_the_nearest_name() {
        for (wrong, said) in
            [("0", "1 to 11"), ("12", "1 to 11"), ("-1", "1 to 11"), ("nbm", "did you mean `nbn`?")]
        {
            let error = find(wrong).err().expect("no such lesson");
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
