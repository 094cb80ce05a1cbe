//! The sections about results: curves, classes from head to tail, mistakes, the machine.

use super::chart::{self, Bars, Frame, Series, bars, grid, lines, number};
use super::page::{Key, figure, or_dash, percent, table};
use super::run::{Epoch, Run};
use crate::error::Result;
use crate::train::metrics::{Shot, Summary};
use maud::{Markup, html};

/// Matrices with more classes than this are shown as a list of mistakes alone.
const MATRIX: usize = 100;
/// Mistakes in a list.
const LISTED: usize = 60;

/// What is drawn of an epoch, under which name.
pub(super) type Drawn<'a> = (&'a str, &'a dyn Fn(&Epoch) -> Option<f64>);

/// A line through the epochs for every run: `of` says what is drawn.
pub(super) fn over_epochs(
    frame: &Frame,
    hint: &str,
    runs: &[Run],
    of: &[Drawn<'_>],
) -> Result<Markup> {
    let mut series = Vec::new();
    for (ink, run) in runs.iter().enumerate() {
        for (i, (label, get)) in of.iter().enumerate() {
            let points =
                run.epochs.iter().filter_map(|e| Some((f64::from(e.epoch + 1), get(e)?))).collect();
            let name = format!("{} {label}", run.name).trim().to_string();
            series.push(Series { name, ink, dash: i > 0, points });
        }
    }
    series.retain(|s| !s.points.is_empty());
    if series.is_empty() {
        return Ok(html! {});
    }
    Ok(figure(
        &frame.title,
        hint,
        &keys(&series),
        &lines(frame, &series)?,
        &by_x(&frame.x, &series),
    ))
}

/// What the legend says of lines.
pub(super) fn keys(series: &[Series]) -> Vec<Key<'_>> {
    series.iter().map(|s| (s.name.as_str(), s.ink, s.dash)).collect()
}

/// Lines' points as a table, a row for each x.
pub(super) fn by_x(x: &str, series: &[Series]) -> Markup {
    let mut xs: Vec<f64> = series.iter().flat_map(|s| s.points.iter().map(|p| p.0)).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let head: Vec<String> =
        std::iter::once(x.to_string()).chain(series.iter().map(|s| s.name.clone())).collect();
    let row = |x: &f64| -> Vec<String> {
        let at = |s: &Series| or_dash(s.points.iter().find(|p| p.0 == *x).map(|p| p.1));
        std::iter::once(number(*x)).chain(series.iter().map(at)).collect()
    };
    table(&head, &xs.iter().map(row).collect::<Vec<_>>())
}

fn frame(title: &str, x: &str) -> Frame {
    Frame { title: title.into(), x: x.into(), ..Frame::default() }
}

/// Loss and accuracy.
pub(super) fn curves(runs: &[Run]) -> Result<Markup> {
    if runs.iter().all(|r| r.epochs.is_empty()) {
        return Ok(html! {});
    }
    let test = |of: fn(&Summary) -> Option<f64>| {
        move |e: &Epoch| e.test.as_ref().and_then(of).map(|v| v * 100.0)
    };
    let (overall, mean_class) = (test(|s| Some(s.overall)), test(|s| Some(s.mean_class)));
    let few = test(|s| s.few.or(s.medium));
    let percent_axis = |title: &str| Frame { y: Some((0.0, 100.0)), ..frame(title, "epoch") };
    let rarest = if runs.iter().filter_map(Run::tested).any(|(_, s)| s.few.is_some()) {
        "few-shot"
    } else {
        "medium-shot"
    };
    Ok(html! {
        h2 { "Learning" }
        div.charts {
            (over_epochs(&frame("Training loss", "epoch"), "mean over the epoch", runs, &[("", &|e| Some(e.loss))])?)
            (over_epochs(&percent_axis("Accuracy, %"), "solid: test, all images; dashed: training images while training", runs,
                &[("test", &overall), ("train", &|e| Some(e.train_accuracy * 100.0))])?)
            (over_epochs(&percent_axis("Accuracy of classes, %"), &format!("solid: mean of all classes on the test set; dashed: of the {rarest} ones"), runs,
                &[("all classes", &mean_class), (rarest, &few)])?)
            (over_epochs(&frame("Learning rate", "epoch"), "", runs, &[("", &|e| Some(e.lr))])?)
        }
    })
}

/// Classes by falling training count.
pub(super) fn head_to_tail(counts: &[usize], classes: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..classes).collect();
    order.sort_by_key(|c| std::cmp::Reverse(counts.get(*c).copied().unwrap_or(0)));
    order
}

/// Class counts, accuracies by class and by shot, mistakes.
pub(super) fn classes(runs: &[Run]) -> Result<Markup> {
    let (names, counts) = runs[0].classes();
    let order = head_to_tail(&counts, names.len());
    let labels: Vec<String> = order.iter().map(|c| names[*c].clone()).collect();
    let accuracy: Vec<Bars> = runs
        .iter()
        .enumerate()
        .filter_map(|(ink, run)| {
            let (_, s) = run.tested()?;
            let of = |c: &usize| s.per_class.get(*c).copied().flatten().map(|v| v * 100.0);
            Some(Bars { name: run.name.clone(), ink, values: order.iter().map(of).collect() })
        })
        .collect();
    if names.is_empty() {
        return Ok(html! {});
    }
    let known = !counts.is_empty();
    let count = |c: &usize| counts.get(*c).map(|n| *n as f64);
    let images = Bars { name: "images".into(), ink: 2, values: order.iter().map(count).collect() };
    let head: Vec<String> = ["class", "group", "training images"]
        .map(String::from)
        .into_iter()
        .chain(accuracy.iter().map(|b| format!("{} accuracy", b.name)))
        .collect();
    let rows: Vec<Vec<String>> = order
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let n = counts.get(*c);
            let group = n.map_or("–", |n| Shot::of(*n).name());
            let n = n.map_or("–".into(), ToString::to_string);
            let values = accuracy.iter().map(|b| percent(b.values[i].map(|v| v / 100.0)));
            [names[*c].clone(), group.into(), n].into_iter().chain(values).collect()
        })
        .collect();
    let all = table(&head, &rows);
    let full = Frame { y: Some((0.0, 100.0)), ..frame("Test accuracy of each class, %", "class") };
    Ok(html! {
        h2 { "From head to tail" }
        div.charts {
            @if known {
                (figure("Training images of each class", "logarithmic; most frequent class first", &[],
                    &bars(&Frame { log: true, ..frame("Training images", "class") }, &labels, &[images])?, &html! {}))
            }
            @if !accuracy.is_empty() {
                (figure(&full.title, "in the same order", &bar_keys(&accuracy), &bars(&full, &labels, &accuracy)?, &all))
                (by_shot(runs)?)
            }
            @for run in runs { (mistakes(run, &order, &names)) }
        }
    })
}

fn bar_keys(groups: &[Bars]) -> Vec<Key<'_>> {
    groups.iter().map(|b| (b.name.as_str(), b.ink, false)).collect()
}

fn by_shot(runs: &[Run]) -> Result<Markup> {
    let labels = ["many > 100", "medium 20–100", "few < 20", "all classes"].map(String::from);
    let values = |s: &Summary| [s.many, s.medium, s.few, Some(s.mean_class)];
    let groups: Vec<Bars> = runs
        .iter()
        .enumerate()
        .filter_map(|(ink, run)| {
            let (_, s) = run.tested()?;
            let values = values(s).iter().map(|v| v.map(|v| v * 100.0)).collect();
            Some(Bars { name: run.name.clone(), ink, values })
        })
        .collect();
    let head: Vec<String> =
        std::iter::once("classes".into()).chain(groups.iter().map(|g| g.name.clone())).collect();
    let row = |(i, label): (usize, &String)| -> Vec<String> {
        let cells = groups.iter().map(|g| percent(g.values[i].map(|v| v / 100.0)));
        std::iter::once(label.clone()).chain(cells).collect()
    };
    let rows: Vec<_> = labels.iter().enumerate().map(row).collect();
    let full =
        Frame { y: Some((0.0, 100.0)), ..frame("Test accuracy by training count, %", "group") };
    let hint = "mean of the classes' accuracies; a group without classes has no bar";
    Ok(figure(
        &full.title,
        hint,
        &bar_keys(&groups),
        &bars(&full, &labels, &groups)?,
        &table(&head, &rows),
    ))
}

/// The confusion matrix, or the most frequent mistakes where there are too many classes.
fn mistakes(run: &Run, order: &[usize], names: &[String]) -> Markup {
    let Some((epoch, summary)) = run.tested() else { return html! {} };
    let Some(found) = &epoch.confusion else { return html! {} };
    let name = |c: usize| names.get(c).cloned().unwrap_or_else(|| format!("class {c}"));
    let share = |t: usize, p: usize| -> Option<f64> {
        let all = f64::from(*found.tested.get(t)?);
        if t == p {
            return summary.per_class.get(t).copied().flatten();
        }
        let n = found.pairs.iter().find(|(a, b, _)| (*a, *b) == (t, p)).map_or(0, |x| x.2);
        (all > 0.0).then(|| f64::from(n) / all)
    };
    let head = ["class", "taken for", "times", "of its images"].map(String::from);
    let rows: Vec<Vec<String>> = found
        .pairs
        .iter()
        .take(LISTED)
        .map(|(t, p, n)| vec![name(*t), name(*p), n.to_string(), percent(share(*t, *p))])
        .collect();
    let list = table(&head, &rows);
    let title = format!("Confusion, {}", run.name);
    if order.len() > MATRIX {
        return figure(&title, "the most frequent mistakes, in the table", &[], &html! {}, &list);
    }
    let labels: Vec<String> = order.iter().map(|c| name(*c)).collect();
    let cells = grid(&title, &labels, &labels, |r, c| {
        let (t, p) = (order[r], order[c]);
        let v = share(t, p)?;
        let tip = format!("{} taken for {}: {}", name(t), name(p), percent(Some(v)));
        Some((v, tip))
    });
    figure(
        &title,
        "a row is a true class, a column a prediction, stronger colour is more; frequent classes first",
        &[],
        &cells,
        &list,
    )
}

/// Throughput and memory.
pub(super) fn machine(runs: &[Run]) -> Result<Markup> {
    if runs.iter().all(|r| r.epochs.iter().all(|e| e.images_per_second.is_none())) {
        return Ok(html! {});
    }
    let memory = |e: &Epoch| e.gpu_bytes_peak.map(|b| b as f64 / f64::from(1 << 20));
    let speed =
        Frame { title: "Training images a second".into(), x: "epoch".into(), ..Frame::default() };
    let devices: Vec<String> = runs
        .iter()
        .filter_map(|r| Some(format!("{}: {}", r.name, r.epochs.last()?.device.as_ref()?)))
        .collect();
    Ok(html! {
        h2 { "The machine" }
        @for device in devices { p.soft { (chart::shorten(&device, 120)) } }
        div.charts {
            (over_epochs(&speed, "wall clock, without evaluation; other work on the machine slows it", runs, &[("", &|e| e.images_per_second)])?)
            (over_epochs(&frame("Peak GPU memory, MiB", "epoch"), "what the program allocated", runs, &[("", &memory)])?)
        }
    })
}
