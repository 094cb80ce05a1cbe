//! The section about the batch norms and gradients: sorted effective weights and biases, their
//! spread, α, the angles of γ and β to their first directions, gradient norms by layer.

use super::chart::{Bars, Frame, Series, bars, grid, lines, number};
use super::page::{figure, named_table, or_dash, table};
use super::run::{Epoch, Run};
use super::sections::{by_x, keys, over_epochs};
use crate::error::Result;
use crate::train::inside::{AffineOf, LayerInside};
use maud::{Markup, html};

/// The names of the layers of all runs, normalized ones first, else in the network's order.
fn names(runs: &[Run]) -> Vec<String> {
    let mut found: Vec<&str> = Vec::new();
    for normalized in [true, false] {
        for l in runs.iter().flat_map(|r| &r.affines).filter(|l| l.normalized == normalized) {
            if !found.contains(&l.layer.as_str()) {
                found.push(&l.layer);
            }
        }
    }
    found.into_iter().map(String::from).collect()
}

pub(super) fn norms(runs: &[Run]) -> Result<Markup> {
    if runs.iter().all(|r| r.affines.is_empty()) {
        return Ok(html! {});
    }
    let names = names(runs);
    let normalized =
        |n: &String| runs.iter().flat_map(|r| &r.affines).any(|l| l.layer == *n && l.normalized);
    let (mut shown, mut hidden): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|n| normalized(n));
    if shown.is_empty() {
        // Without a normalized layer the last ones are what to look at.
        shown = hidden.split_off(hidden.len().saturating_sub(2));
    }
    Ok(html! {
        h2 { "Inside the batch norms" }
        p { "Weight and bias as they act on the data: for NBN, w = α·γ/(‖γ‖+ε) and b = α·β/(‖β‖+ε). A smaller coefficient of variation means that the channels weigh more alike." }
        div.charts {
            (spread_bars(runs, &names, "Spread of |w|: coefficient of variation", |l| Some(l.w.cv))?)
            (spread_bars(runs, &names, "Largest |w| over mean |w|", |l| l.w.max_over_mean())?)
            (spread_bars(runs, &names, "Spread of |b|: coefficient of variation", |l| Some(l.b.cv))?)
            @for name in shown { (sorted(runs, name)?) }
        }
        (spread_table(runs, &names))
        @if !hidden.is_empty() {
            details {
                summary { "Sorted |w| and |b| of the other " (hidden.len()) " layers" }
                div.charts { @for name in hidden { (sorted(runs, name)?) } }
            }
        }
        (over_time(runs)?)
        (gradients(runs))
    })
}

fn layer<'a>(run: &'a Run, name: &str) -> Option<(&'a AffineOf, &'a LayerInside)> {
    run.affines.iter().zip(&run.layers).find(|(l, _)| l.layer == name)
}

/// |w_k| and |b_k| of one layer, largest first.
fn sorted(runs: &[Run], name: &str) -> Result<Markup> {
    let mut series = Vec::new();
    let mut normalized = false;
    for (ink, run) in runs.iter().enumerate() {
        let Some((l, _)) = layer(run, name) else { continue };
        normalized |= l.normalized;
        for (part, values) in [("|w|", &l.w), ("|b|", &l.b)] {
            let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let points = sizes.into_iter().enumerate().map(|(k, v)| (k as f64 + 1.0, v)).collect();
            let name = format!("{} {part}", run.name);
            series.push(Series { name, ink, dash: part == "|b|", points });
        }
    }
    let title = format!("{name}: |w| and |b|, sorted");
    let hint = if normalized { "a normalized layer" } else { "a plain layer" };
    let frame = Frame { title, x: "channel of rank".into(), ..Frame::default() };
    Ok(figure(&frame.title, hint, &keys(&series), &lines(&frame, &series)?, &by_x("rank", &series)))
}

fn spread_bars(
    runs: &[Run],
    names: &[String],
    title: &str,
    of: fn(&LayerInside) -> Option<f64>,
) -> Result<Markup> {
    let groups: Vec<Bars> = runs
        .iter()
        .enumerate()
        .map(|(ink, run)| {
            let values = names.iter().map(|n| layer(run, n).and_then(|(_, l)| of(l))).collect();
            Bars { name: run.name.clone(), ink, values }
        })
        .collect();
    let keys: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.ink, false)).collect();
    let frame = Frame { title: title.into(), x: "layer".into(), ..Frame::default() };
    let hint = "by layer, normalized layers first; 0 if all channels are alike";
    let hint = if title.contains("over mean") { "1 if all channels are alike" } else { hint };
    Ok(figure(title, hint, &keys, &bars(&frame, names, &groups)?, &html! {}))
}

fn spread_table(runs: &[Run], names: &[String]) -> Markup {
    let head = [
        "layer",
        "run",
        "kind",
        "mean |w|",
        "max/mean |w|",
        "CV |w|",
        "mean |b|",
        "max/mean |b|",
        "CV |b|",
        "γ turned by",
        "β turned by",
    ]
    .map(String::from);
    let degrees = |v: Option<f64>| v.map_or("–".into(), |d| format!("{}°", number(d)));
    let mut rows = Vec::new();
    for name in names {
        for run in runs {
            let Some((_, l)) = layer(run, name) else { continue };
            rows.push(vec![
                name.clone(),
                run.name.clone(),
                if l.normalized { "NBN" } else { "BN" }.into(),
                number(l.w.mean),
                or_dash(l.w.max_over_mean()),
                number(l.w.cv),
                number(l.b.mean),
                or_dash(l.b.max_over_mean()),
                number(l.b.cv),
                degrees(l.gamma_angle),
                degrees(l.beta_angle),
            ]);
        }
    }
    named_table("Table of all layers", &head, &rows)
}

/// α and the angles by epoch.
fn over_time(runs: &[Run]) -> Result<Markup> {
    if runs.iter().flat_map(|r| &r.epochs).all(|e| e.inside.is_none()) {
        return Ok(html! {});
    }
    let frame = |title: &str| Frame { title: title.into(), x: "epoch".into(), ..Frame::default() };
    let alpha = |e: &Epoch| e.inside.as_ref()?.alpha;
    // The layers that some run normalizes; in the other run they are the same places of the network.
    let chosen: Vec<String> = names(runs)
        .into_iter()
        .filter(|n| runs.iter().flat_map(|r| &r.affines).any(|l| l.layer == *n && l.normalized))
        .collect();
    let mean = |e: &Epoch, of: fn(&LayerInside) -> Option<f64>| -> Option<f64> {
        let inside = e.inside.as_ref()?;
        let kept = inside.norms.iter().filter(|l| chosen.is_empty() || chosen.contains(&l.layer));
        let angles: Vec<f64> = kept.filter_map(of).collect();
        (!angles.is_empty()).then(|| angles.iter().sum::<f64>() / angles.len() as f64)
    };
    let which = if chosen.is_empty() {
        "mean over all layers".to_string()
    } else {
        format!("mean over {}", chosen.join(", "))
    };
    let hint = format!(
        "solid γ, dashed β; {which}. 0° means that the direction of the first step has stayed."
    );
    Ok(html! {
        div.charts {
            (over_epochs(&frame("α"), "the one scalar of all normalized layers", runs, &[("", &alpha)])?)
            (over_epochs(&frame("Turn since the first step, degrees"), &hint, runs,
                &[("γ", &|e| mean(e, |l| l.gamma_angle)), ("β", &|e| mean(e, |l| l.beta_angle))])?)
        }
    })
}

/// Gradient norms, layers by epochs.
fn gradients(runs: &[Run]) -> Markup {
    html! {
        div.charts { @for run in runs { (gradients_of(run)) } }
    }
}

fn gradients_of(run: &Run) -> Markup {
    let rows: Vec<(u32, &Vec<(String, f64)>)> = run
        .epochs
        .iter()
        .filter_map(|e| Some((e.epoch + 1, &e.inside.as_ref()?.gradients)))
        .collect();
    let Some((_, newest)) = rows.last() else { return html! {} };
    // Weights of convolutions and head, and the norms' vectors, as one row each.
    let names: Vec<String> = newest.iter().map(|(n, _)| n.clone()).collect();
    let value = |column: usize, name: &str| -> Option<f64> {
        rows[column].1.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    };
    let all = || rows.iter().flat_map(|(_, g)| g.iter().map(|(_, v)| *v)).filter(|v| *v > 0.0);
    let low = all().fold(f64::INFINITY, f64::min).log10().max(-8.0);
    let high = all().fold(1e-30, f64::max).log10();
    let short: Vec<String> =
        names.iter().map(|n| n.replace(".weight", ".w").replace(".bias", ".b")).collect();
    let columns: Vec<String> = rows.iter().map(|(e, _)| e.to_string()).collect();
    let title = format!("Gradient norms, {}", run.name);
    let cells = grid(&title, &short, &columns, |r, c| {
        let v = value(c, &names[r])?;
        let ink = (v.max(1e-30).log10() - low) / (high - low).max(1e-9);
        Some((
            0.04 + 0.96 * ink.clamp(0.0, 1.0),
            format!("{}, epoch {}: {}", names[r], columns[c], number(v)),
        ))
    });
    let head: Vec<String> = std::iter::once("parameter".to_string())
        .chain(columns.iter().map(|c| format!("epoch {c}")))
        .collect();
    let line = |name: &String| -> Vec<String> {
        let values = (0..columns.len()).map(|c| or_dash(value(c, name)));
        std::iter::once(name.clone()).chain(values).collect()
    };
    let table = table(&head, &names.iter().map(line).collect::<Vec<_>>());
    figure(
        &title,
        &format!(
            "at each epoch's last step; from {} (faint) to {} (strong), logarithmic; columns are epochs",
            number(10f64.powf(low)),
            number(10f64.powf(high))
        ),
        &[],
        &cells,
        &table,
    )
}
