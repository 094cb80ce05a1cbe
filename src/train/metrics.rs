//! What a classifier gets right: (truth, prediction) counts → accuracies by class and by shot.
//!
//! Long-tailed results are read in three groups of classes, by their training count: many (more
//! than 100 images), medium (20 to 100), few (fewer than 20). A group's accuracy is the mean of
//! its classes' accuracies; the overall accuracy is the share of all test images.

use serde::{Deserialize, Serialize};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::error::{Error, Result};

/// Classes with more training images than this are many-shot.
pub const MANY_ABOVE: usize = 100;
/// Classes with fewer training images than this are few-shot.
pub const FEW_BELOW: usize = 20;
/// The longest class list that a table shows whole.
const TABLE_ROWS: usize = 20;
/// The widest class name that a table shows whole, in columns.
const NAME_WIDTH: usize = 28;
/// What a table shows where there is no value.
const ABSENT: &str = "–";

/// The group of a class by its training count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shot {
    /// More than 100 training images.
    Many,
    /// 20 to 100 training images.
    Medium,
    /// Fewer than 20 training images.
    Few,
}

impl Shot {
    /// The group of a class with `count` training images.
    pub fn of(count: usize) -> Self {
        match count {
            n if n > MANY_ABOVE => Self::Many,
            n if n < FEW_BELOW => Self::Few,
            _ => Self::Medium,
        }
    }

    /// `many`, `medium` or `few`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Many => "many",
            Self::Medium => "medium",
            Self::Few => "few",
        }
    }
}

/// How often each class was taken for which: one row per true class, one column per prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u32>,
}

impl Confusion {
    /// No counts yet.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Takes counts over, row by row, as a kernel wrote them.
    ///
    /// # Errors
    /// Other than `classes`² counts.
    pub fn from_counts(classes: usize, counts: Vec<u32>) -> Result<Self> {
        if classes.checked_mul(classes) != Some(counts.len()) {
            let found = counts.len();
            return Err(Error::Failure(format!(
                "a confusion matrix of {classes} classes has {classes}² counts, not {found}"
            )));
        }
        Ok(Self { classes, counts })
    }

    /// Counts one test image.
    ///
    /// # Errors
    /// A class outside the matrix.
    pub fn add(&mut self, truth: usize, predicted: usize) -> Result<()> {
        let classes = self.classes;
        if truth >= classes || predicted >= classes {
            return Err(Error::Failure(format!(
                "class {truth} taken for {predicted}, but there are only {classes} classes"
            )));
        }
        self.counts[truth * classes + predicted] += 1;
        Ok(())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All counts, row by row.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Of the test images taken for each class, the share that is of it; `None` if none was.
    pub fn precisions(&self) -> Vec<Option<f64>> {
        let taken = |class: usize| {
            self.counts.iter().skip(class).step_by(self.classes).map(|n| u64::from(*n)).sum::<u64>()
        };
        let right = |class: usize| f64::from(self.counts[class * self.classes + class]);
        (0..self.classes)
            .map(|c| Some(taken(c)).filter(|n| *n > 0).map(|n| right(c) / n as f64))
            .collect()
    }

    /// What was mistaken for what, most frequent first, at most `most` pairs of classes.
    pub fn mistakes(&self, most: usize) -> Mistakes {
        let classes = self.classes.max(1);
        let cells = self.counts.iter().enumerate().map(|(i, n)| (i / classes, i % classes, *n));
        let mut pairs: Vec<_> = cells.filter(|(t, p, n)| t != p && *n > 0).collect();
        pairs.sort_by_key(|(t, p, n)| (std::cmp::Reverse(*n), *t, *p));
        pairs.truncate(most);
        let tested = self.counts.chunks_exact(classes).map(|row| row.iter().sum()).collect();
        Mistakes { tested, pairs }
    }

    /// Accuracies, with `train_counts` training images per class.
    ///
    /// # Errors
    /// No test image at all, or another number of classes than counts.
    pub fn summary(&self, train_counts: &[usize]) -> Result<Summary> {
        if train_counts.len() != self.classes {
            let found = train_counts.len();
            return Err(Error::Failure(format!(
                "{} classes were tested, but {found} training counts are known",
                self.classes
            )));
        }
        let total = |row: &[u32]| row.iter().map(|n| u64::from(*n)).sum::<u64>();
        let mut right = 0;
        let mut per_class = Vec::with_capacity(self.classes);
        for (class, row) in self.counts.chunks_exact(self.classes.max(1)).enumerate() {
            let (hits, all) = (u64::from(row[class]), total(row));
            right += hits;
            per_class.push((all > 0).then(|| hits as f64 / all as f64));
        }
        let tested = total(&self.counts);
        if tested == 0 {
            return Err(Error::Failure("there is no test image, so no accuracy".into()));
        }
        let group = |shot| {
            let of_group =
                per_class.iter().zip(train_counts).filter(|(_, n)| Shot::of(**n) == shot);
            mean(of_group.filter_map(|(accuracy, _)| *accuracy))
        };
        Ok(Summary {
            overall: right as f64 / tested as f64,
            mean_class: mean(per_class.iter().flatten().copied()).unwrap_or(0.0),
            many: group(Shot::Many),
            medium: group(Shot::Medium),
            few: group(Shot::Few),
            per_class,
        })
    }
}

/// A confusion matrix without its diagonal, which the accuracies give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistakes {
    /// Test images of each class.
    pub tested: Vec<u32>,
    /// (truth, prediction, how often), most frequent first.
    pub pairs: Vec<(usize, usize, u32)>,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Accuracies between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Share of all test images that were classified right.
    pub overall: f64,
    /// Mean of the classes' accuracies.
    pub mean_class: f64,
    /// Mean over the many-shot classes; `None` if there is none (that was tested).
    pub many: Option<f64>,
    /// Mean over the medium-shot classes, likewise.
    pub medium: Option<f64>,
    /// Mean over the few-shot classes, likewise.
    pub few: Option<f64>,
    /// Accuracy of each class; `None` if it has no test image.
    pub per_class: Vec<Option<f64>>,
}

impl Summary {
    /// One line, such as `58.1 %  (many 71.0 %, medium 60.2 %, few –)`.
    pub fn line(&self) -> String {
        let [many, medium, few] = [self.many, self.medium, self.few].map(percent);
        let overall = percent(Some(self.overall));
        format!("{overall}  (many {many}, medium {medium}, few {few})")
    }

    /// A table for people: classes by falling training count (the middle of a long list left
    /// out), then the groups. A class without a name is shown by its number.
    pub fn table(&self, names: &[String], train_counts: &[usize]) -> String {
        let count = |class: usize| train_counts.get(class).copied().unwrap_or(0);
        let mut order: Vec<usize> = (0..self.per_class.len()).collect();
        order.sort_by_key(|class| std::cmp::Reverse(count(*class)));
        let name = |class: usize| match names.get(class) {
            Some(name) => clean(name),
            None => format!("class {class}"),
        };
        let (head, tail) = shown(order.len());
        let rows = order[..head].iter().chain(&order[order.len() - tail..]);
        let width = rows.map(|c| name(*c).width()).chain([14]).max().unwrap_or(14);

        let mut text = format!("  {}  train images  accuracy\n", pad("class", width));
        for (place, &class) in order.iter().enumerate() {
            if place == head && head + tail < order.len() {
                text += &format!("  … {} more classes …\n", order.len() - head - tail);
            }
            if place < head || place >= order.len() - tail {
                let (value, shot) = (self.per_class[class], Shot::of(count(class)).name());
                let line = format!(
                    "  {}  {:>12}  {:>8}  {}  {shot}",
                    pad(&name(class), width),
                    count(class),
                    percent(value),
                    bar(value)
                );
                text += &line;
                text.push('\n');
            }
        }
        text += &self.groups(width, train_counts);
        text
    }

    fn groups(&self, width: usize, train_counts: &[usize]) -> String {
        let images = |shot: Option<Shot>| -> (usize, usize) {
            let of_group =
                train_counts.iter().filter(|n| shot == Some(Shot::of(**n)) || shot.is_none());
            of_group.fold((0, 0), |(classes, sum), n| (classes + 1, sum + n))
        };
        let rule = "─".repeat(width + 46);
        let mut text = format!("  {rule}\n");
        for (label, shot, value) in [
            ("many   > 100", Some(Shot::Many), self.many),
            ("medium 20–100", Some(Shot::Medium), self.medium),
            ("few    < 20", Some(Shot::Few), self.few),
            ("mean of classes", None, Some(self.mean_class)),
            ("overall", None, Some(self.overall)),
        ] {
            let (classes, sum) = images(shot);
            let note = if classes == 1 { "1 class".into() } else { format!("{classes} classes") };
            let note = if shot.is_some() { note } else { String::new() };
            let line = format!(
                "  {}  {sum:>12}  {:>8}  {}  {note}",
                pad(label, width),
                percent(value),
                bar(value)
            );
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// How many classes a table shows from the front and from the back of `classes`.
pub(crate) fn shown(classes: usize) -> (usize, usize) {
    if classes <= TABLE_ROWS { (classes, 0) } else { (TABLE_ROWS / 2, TABLE_ROWS / 2) }
}

/// `71.3 %`, or a dash.
fn percent(value: Option<f64>) -> String {
    value.map_or(ABSENT.to_string(), |v| format!("{:.1} %", 100.0 * v))
}

/// Sixteen columns that fill with the value, in eighths of a column.
fn bar(value: Option<f64>) -> String {
    const COLUMNS: usize = 16;
    let eighths = (value.unwrap_or(0.0).clamp(0.0, 1.0) * (COLUMNS * 8) as f64).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    text.extend(" ▏▎▍▌▋▊▉".chars().nth(eighths % 8).filter(|c| *c != ' '));
    pad(&text, COLUMNS)
}

/// Fills up with blanks to `width` columns (which are not characters, in Chinese or emoji).
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// A class name that cannot disturb a terminal, cut to [`NAME_WIDTH`] columns.
pub(crate) fn clean(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if name.width() <= NAME_WIDTH {
        return name;
    }
    let mut used = 1;
    let keep = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= NAME_WIDTH
    };
    name.chars().take_while(keep).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_training_count() {
        let shots = [0, 19, 20, 100, 101].map(Shot::of);
        assert_eq!(shots, [Shot::Few, Shot::Few, Shot::Medium, Shot::Medium, Shot::Many]);
    }

    #[test]
    fn accuracies_by_hand() {
        // Three classes, 4 + 2 + 2 test images; right: 4, 1, 0.
        let matrix = Confusion::from_counts(3, vec![4, 0, 0, 1, 1, 0, 2, 0, 0]).unwrap();
        let summary = matrix.summary(&[500, 120, 5]).unwrap();
        assert_eq!(summary.overall, 5.0 / 8.0);
        assert_eq!(summary.mean_class, 0.5);
        assert_eq!((summary.many, summary.medium, summary.few), (Some(0.75), None, Some(0.0)));
        assert_eq!(matrix.precisions(), [Some(4.0 / 7.0), Some(1.0), None]);
        assert_eq!(matrix.mistakes(9).pairs, [(2, 0, 2), (1, 0, 1)]);
        assert_eq!(matrix.mistakes(1).pairs, [(2, 0, 2)]);
        assert_eq!(matrix.mistakes(1).tested, [4, 2, 2]);
        assert_eq!(summary.line(), "62.5 %  (many 75.0 %, medium –, few 0.0 %)");
        let json = serde_json::to_string(&summary).unwrap();
        assert!(json.contains("\"medium\":null"), "{json}");
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }

    #[test]
    fn a_class_without_test_images_counts_nowhere() {
        let mut matrix = Confusion::new(2);
        matrix.add(0, 0).unwrap();
        let summary = matrix.summary(&[500, 5]).unwrap();
        assert_eq!((summary.mean_class, summary.few), (1.0, None));
        assert_eq!(summary.per_class, [Some(1.0), None]);
        assert!(summary.table(&[], &[500, 5]).contains("class 1"));
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(Confusion::new(2).add(2, 0).is_err());
        assert!(Confusion::new(2).add(0, 2).is_err());
        assert!(Confusion::from_counts(2, vec![0; 3]).is_err());
        assert!(
            Confusion::new(2).summary(&[1, 2]).unwrap_err().to_string().contains("no test image")
        );
        assert!(Confusion::new(2).summary(&[1]).is_err());
        assert!(Confusion::new(0).summary(&[]).is_err());
    }

    #[test]
    fn long_tables_show_both_ends_and_columns_line_up() {
        let counts: Vec<usize> = (0..100).map(|c| 500 / (c + 1)).collect();
        let mut matrix = Confusion::new(100);
        for class in 0..100 {
            for image in 0..10 {
                let predicted = if image < 10 - class / 10 { class } else { 0 };
                matrix.add(class, predicted).unwrap();
            }
        }
        let mut names: Vec<String> = (0..100).map(|c| format!("name {c}")).collect();
        names[0] = "大きい\u{1b}[31m".into();
        names[1] = "a name that is much too long for any table".into();
        let table = matrix.summary(&counts).unwrap().table(&names, &counts);
        assert!(table.contains("… 80 more classes …") && table.contains("name 99"));
        assert!(!table.contains("name 50") && !table.contains('\u{1b}'), "{table}");
        let starts: Vec<usize> =
            table.lines().filter_map(|line| Some(line.split_once(" %")?.0.width())).collect();
        assert!(starts.windows(2).all(|w| w[0] == w[1]), "{table}");
    }
}
