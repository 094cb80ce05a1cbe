//! The table of `evenkeel compare`: rows of mean ± standard deviation as text, CSV and one HTML page, and the single
//! runs as CSV.

use crate::error::{Error, Result};
use crate::train::atomic::write_atomic;
use crate::train::compare::{Row, Spread};
use crate::train::progress::human;
use maud::{DOCTYPE, PreEscaped, html};
use std::path::{Path, PathBuf};
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// `71.3 ± 0.4` in percent; a dash without a value.
fn percent(spread: Option<Spread>) -> String {
    match spread {
        None => "–".into(),
        Some(Spread { mean, std: None }) => format!("{:.1}", 100.0 * mean),
        Some(Spread { mean, std: Some(std) }) => {
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * std)
        }
    }
}

fn rate(row: &Row) -> String {
    row.images_per_second.map_or("–".into(), |s| format!("{:.0}", s.mean))
}

/// The mean time of a run.
fn time(row: &Row) -> String {
    let human = |s: Spread| human(Duration::try_from_secs_f64(s.mean).unwrap_or_default());
    row.seconds.map_or("–".into(), human)
}

/// What the rows' runs were trained on, each device once.
fn devices(rows: &[Row]) -> String {
    let mut all: Vec<&str> = Vec::new();
    for device in rows.iter().flat_map(|r| &r.devices) {
        if !all.contains(&device.as_str()) {
            all.push(device);
        }
    }
    all.join("; ")
}

fn published(row: &Row) -> String {
    row.published.map_or("–".into(), |p| format!("{p:.2}"))
}

/// The table for people, accuracies in percent.
pub fn text(rows: &[Row]) -> String {
    let head = [
        "recipe",
        "seeds",
        "overall",
        "many",
        "medium",
        "few",
        "rarest third",
        "images/s",
        "time",
        "published",
    ]
    .map(String::from);
    let mut lines = vec![head.to_vec()];
    for row in rows {
        lines.push(vec![
            row.recipe.clone(),
            row.seeds.len().to_string(),
            percent(row.overall),
            percent(row.many),
            percent(row.medium),
            percent(row.few),
            percent(row.rarest),
            rate(row),
            time(row),
            published(row),
        ]);
    }
    let width = |c: usize| lines.iter().map(|l| l[c].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        for (c, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[c] - cell.width());
            out += &if c == 0 { format!("{cell}{pad}") } else { format!("  {pad}{cell}") };
        }
        out = out.trim_end().to_string() + "\n";
    }
    let devices = devices(rows);
    if !devices.is_empty() {
        out += &format!("trained on {devices}\n");
    }
    out
}

/// Writes `comparison.csv`, `comparison.html` and `runs.csv` into `folder`, which is made; the first two's paths.
///
/// # Errors
/// A file that cannot be written.
pub fn write(folder: &Path, rows: &[Row]) -> Result<[PathBuf; 2]> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let paths = [folder.join("comparison.csv"), folder.join("comparison.html")];
    write_atomic(&paths[0], csv(rows)?.as_bytes())?;
    write_atomic(&paths[1], page(rows).as_bytes())?;
    write_atomic(&folder.join("runs.csv"), runs(rows)?.as_bytes())?;
    Ok(paths)
}

/// A line for each finished run.
fn runs(rows: &[Row]) -> Result<String> {
    written("runs.csv", |out| {
        rows.iter().flat_map(|row| &row.runs).try_for_each(|run| out.serialize(run))
    })
}

/// What `write` puts into the file `name`.
fn written(
    name: &str,
    write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>,
) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| Error::Failure(format!("{name}: {e}"));
    let mut out = csv::Writer::from_writer(Vec::new());
    write(&mut out).map_err(|e| failed(&e))?;
    let bytes = out.into_inner().map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}

/// Shares of 1, empty where there is no value.
fn csv(rows: &[Row]) -> Result<String> {
    written("comparison.csv", |out| {
        out.write_record([
            "recipe",
            "seeds",
            "overall",
            "overall_std",
            "many",
            "many_std",
            "medium",
            "medium_std",
            "few",
            "few_std",
            "rarest_third",
            "rarest_third_std",
            "images_per_second",
            "seconds",
            "device",
            "published_percent",
            "source",
            "differs",
        ])?;
        for row in rows {
            let mut record = vec![row.recipe.clone(), row.seeds.len().to_string()];
            for spread in [row.overall, row.many, row.medium, row.few, row.rarest] {
                record.push(spread.map_or(String::new(), |s| s.mean.to_string()));
                record.push(spread.and_then(|s| s.std).map_or(String::new(), |s| s.to_string()));
            }
            record.push(row.images_per_second.map_or(String::new(), |s| s.mean.to_string()));
            record.push(row.seconds.map_or(String::new(), |s| s.mean.to_string()));
            record.push(row.devices.join("; "));
            record.push(row.published.map_or(String::new(), |p| p.to_string()));
            record.extend([row.source.clone(), row.differs.join("; ")]);
            out.write_record(&record)?;
        }
        Ok(())
    })
}

fn page(rows: &[Row]) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Recipes beside each other · evenkeel" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                h1 { "Recipes beside each other" }
                p.soft { "Accuracy on the test set in percent, mean ± standard deviation over the seeds, of the last epoch. Many: classes of more than 100 training images; medium: 20 to 100; few: fewer; rarest third: the third of the classes with the fewest. Published numbers are others' and have the setting of their source." }
                div.scroll { table {
                    thead { tr {
                        @for h in ["method", "seeds", "overall", "many", "medium", "few", "rarest third", "images/s", "time", "published"] { th { (h) } }
                    } }
                    tbody { @for row in rows { tr {
                        td title=(row.method.paper) { (row.method.title) br; span.soft { (row.recipe) } }
                        td { (row.seeds.len()) }
                        td { b { (percent(row.overall)) } }
                        td { (percent(row.many)) }
                        td { (percent(row.medium)) }
                        td { (percent(row.few)) }
                        td { (percent(row.rarest)) }
                        td { (rate(row)) }
                        td title=(row.devices.join("; ")) { (time(row)) }
                        td title=(row.source) { (published(row)) }
                    } } }
                } }
                @if !devices(rows).is_empty() { p.soft { "Trained on " (devices(rows)) "." } }
                h2 { "What differs from the published settings" }
                ul { @for row in rows { li {
                    b { (row.method.title) } ": "
                    @if row.differs.is_empty() { "nothing in the recipe" } @else { (row.differs.join("; ")) }
                    @if !row.source.is_empty() { span.soft { " (" (row.source) ")" } }
                } } }
            }
        }
    };
    markup.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(recipe: &str, overall: Option<Spread>) -> Row {
        Row {
            recipe: recipe.into(),
            method: crate::train::recipes::Method {
                title: "A <method>".into(),
                ..Default::default()
            },
            seeds: vec![0, 1],
            overall,
            many: None,
            medium: None,
            few: None,
            rarest: None,
            runs: Vec::new(),
            images_per_second: None,
            seconds: Some(Spread { mean: 3725.0, std: None }),
            devices: vec!["a <device>".into()],
            published: Some(71.95),
            source: "a, \"list\"".into(),
            differs: vec!["epochs 50 instead of 200".into()],
        }
    }

    #[test]
    fn the_table_lines_up_and_a_missing_run_is_a_dash() {
        let rows = [
            row("cifar10-lt/ce", Some(Spread { mean: 0.7123, std: Some(0.0041) })),
            row("x", None),
        ];
        let text = text(&rows);
        assert!(text.contains("71.2 ± 0.4") && text.contains("71.95"), "{text}");
        assert!(text.contains("1 h 02 min") && text.ends_with("trained on a <device>\n"), "{text}");
        let widths: Vec<usize> = text.lines().take(3).map(UnicodeWidthStr::width).collect();
        assert!(widths.windows(2).all(|w| w[0] == w[1]), "{text}");
        assert!(text.lines().nth(2).is_some_and(|l| l.contains('–')));
    }

    #[test]
    fn csv_and_page_keep_what_is_in_them_apart() {
        let rows = [row("ce", Some(Spread { mean: 0.5, std: None }))];
        let text = csv(&rows).unwrap();
        assert!(text.contains("ce,2,0.5,,"), "{text}");
        assert!(text.contains("\"a, \"\"list\"\"\""), "{text}");
        assert!(text.contains(",3725,a <device>,71.95,"), "{text}");
        let page = page(&rows);
        assert!(page.contains("A &lt;method&gt;") && page.contains("Trained on a &lt;device&gt;."));
    }
}
