//! The page around the sections: head, tiles, notes, recipes, and the parts every section uses
//! (figures with legends, tables).

use super::chart::number;
use super::run::Run;
use super::{differences, layers, sections, strength};
use crate::error::Result;
use crate::gpu::mib;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

/// The whole page.
pub(super) fn page(runs: &[Run], numbers: &Value) -> Result<Markup> {
    let title = match runs {
        [a, b] => format!("{} beside {}", a.name, b.name),
        _ => format!("{}: {}", runs[0].name, runs[0].folder_name()),
    };
    // Inside a script element only `<` could end it.
    let data = numbers.to_string().replace('<', "\\u003c");
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · evenkeel" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                h1 { (title) }
                p.soft { "Every number below comes from the run's own files. Point at a line, bar or cell for its value; tables are behind each chart." }
                @for note in differences(runs) { p.note { (note) } }
                @for run in runs {
                    @for note in &run.notes { p.note { b { (run.name) ": " } (note) } }
                }
                div.tiles { @for (i, run) in runs.iter().enumerate() { (tile(i, run)) } }
                (sections::curves(runs)?)
                (sections::classes(runs)?)
                (layers::norms(runs)?)
                (strength::section(runs)?)
                (sections::machine(runs)?)
                h2 { "Recipe" }
                @for run in runs {
                    @if let Some(text) = run.config.as_ref().and_then(|c| c.to_toml().ok()) {
                        details { summary { (run.name) ": config.toml" } pre { (text) } }
                    }
                }
                script #numbers type="application/json" { (PreEscaped(data)) }
            }
        }
    })
}

/// A run at a glance.
fn tile(ink: usize, run: &Run) -> Markup {
    let about = run.about.as_ref();
    let last = run.epochs.last();
    let steps = run.step.or(last.map(|e| e.step));
    html! {
        div class={"tile i" (ink)} {
            b { (run.name) } " "
            span.soft { (run.folder_name()) }
            dl {
                @if let Some(a) = about {
                    dt { "model" } dd { (a.model) ", " (a.classes.len()) " classes" }
                    dt { "training images" } dd { (a.counts.iter().sum::<usize>()) }
                }
                @if let Some(c) = &run.config { dt { "data" } dd { (c.data.dataset) ", imbalance " (number(c.data.imbalance)) } }
                @if let Some(e) = last { dt { "epochs" } dd { (e.epoch + 1) } }
                @if let Some(s) = steps { dt { "steps" } dd { (s) } }
                @if let Some((e, s)) = run.tested() {
                    dt { "test accuracy" } dd { b { (percent(Some(s.overall))) } @if Some(e.epoch) != last.map(|l| l.epoch) { " (epoch " (e.epoch + 1) ")" } }
                    dt { "many, medium, few" } dd { (percent(s.many)) ", " (percent(s.medium)) ", " (percent(s.few)) }
                }
                @if let Some(a) = run.alpha { dt { "α" } dd { (number(a)) } }
                @if let Some(d) = last.and_then(|e| e.device.as_ref()) { dt { "device" } dd { (d) } }
                @if let Some(p) = last.and_then(|e| e.gpu_bytes_peak) { dt { "GPU memory" } dd { (mib(p)) } }
            }
        }
    }
}

/// `71.3 %`, or a dash.
pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| format!("{:.1}\u{a0}%", 100.0 * v))
}

/// A number, or a dash.
pub(super) fn or_dash(value: Option<f64>) -> String {
    value.map_or("–".into(), number)
}

/// What a legend says of a series: name, ink, dashes.
pub(super) type Key<'a> = (&'a str, usize, bool);

/// A chart with its caption, legend and table.
pub(super) fn figure(
    title: &str,
    hint: &str,
    keys: &[Key<'_>],
    chart: &Markup,
    table: &Markup,
) -> Markup {
    html! {
        figure {
            figcaption { (title) @if !hint.is_empty() { small { (hint) } } }
            @if keys.len() > 1 { div.legend { @for (name, ink, dash) in keys { span { (swatch(*ink, *dash)) (name) } } } }
            (chart)
            (table)
        }
    }
}

fn swatch(ink: usize, dash: bool) -> Markup {
    let line = if dash { "l dash" } else { "l" };
    html! {
        svg viewBox="0 0 26 12" aria-hidden="true" {
            polyline class={(line) " i" (ink)} points="0,6 26,6" {}
            @match ink % 3 {
                0 => circle class={"m i" (ink)} cx="13" cy="6" r="3.4" {},
                1 => rect class={"m i" (ink)} x="10" y="3" width="6" height="6" {},
                _ => path class={"m i" (ink)} d="M13 2l4 7h-8z" {},
            }
        }
    }
}

/// The numbers behind a chart.
pub(super) fn table(head: &[String], rows: &[Vec<String>]) -> Markup {
    named_table("Table", head, rows)
}

/// A table that opens under its name.
pub(super) fn named_table(name: &str, head: &[String], rows: &[Vec<String>]) -> Markup {
    html! {
        details {
            summary { (name) }
            div.scroll { table {
                thead { tr { @for h in head { th { (h) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            } }
        }
    }
}
