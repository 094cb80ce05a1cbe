//! The section about feature strength (`train::features` has the definition): means and ratios of
//! both kinds of channels, and where they answer on test images.

use super::chart::{Bars, Frame, bars, number};
use super::page::{figure, table};
use super::run::Run;
use crate::error::Result;
use crate::train::features::{Features, Picture, SHARE, Strength};
use maud::{Markup, html};

/// Strength of the rare-specific channels over that of the frequent-specific ones.
fn ratios(s: &Strength) -> [Option<f64>; 2] {
    let over = |a: f64, b: f64| (b > 0.0).then(|| a / b);
    [over(s.mean_rare, s.mean_frequent), over(s.sd_rare, s.sd_frequent)]
}

pub(super) fn section(runs: &[Run]) -> Result<Markup> {
    let found: Vec<(usize, &Run, &Features)> = runs
        .iter()
        .enumerate()
        .filter_map(|(i, r)| r.features.as_ref().map(|f| (i, r, f)))
        .collect();
    let Some((_, first, features)) = found.first() else { return Ok(html! {}) };
    let names = first.classes().0;
    let list = |classes: &[usize]| -> String {
        let of = |c: &usize| names.get(*c).cloned().unwrap_or_else(|| format!("class {c}"));
        let shown: Vec<String> = classes.iter().take(12).map(of).collect();
        let more = classes.len().saturating_sub(12);
        if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
    };
    let head = [
        "run",
        "images of",
        "μ frequent",
        "σ frequent",
        "μ rare",
        "σ rare",
        "μ rare/frequent",
        "σ rare/frequent",
        "channels frequent / rare",
    ]
    .map(String::from);
    let mut rows = Vec::new();
    for (_, run, f) in &found {
        for (what, s) in [("rare classes", &f.on_rare), ("frequent classes", &f.on_frequent)] {
            let [mu, sigma] = ratios(s).map(|v| v.map_or("–".into(), number));
            let measured = [s.mean_frequent, s.sd_frequent, s.mean_rare, s.sd_rare].map(number);
            let sizes = format!(
                "{} / {} of {}",
                f.frequent_channels.len(),
                f.rare_channels.len(),
                f.channels
            );
            rows.push(
                [vec![run.name.clone(), what.into()], measured.to_vec(), vec![mu, sigma, sizes]]
                    .concat(),
            );
        }
    }
    let labels = ["μ, rare", "σ, rare", "μ, frequent", "σ, frequent"].map(String::from);
    let groups: Vec<Bars> = found
        .iter()
        .map(|(ink, run, f)| {
            let values = [ratios(&f.on_rare), ratios(&f.on_frequent)].concat();
            Bars { name: run.name.clone(), ink: *ink, values }
        })
        .collect();
    let keys: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.ink, false)).collect();
    let title = "Strength of rare-specific over frequent-specific channels";
    let frame = Frame { title: title.into(), x: "ratio".into(), ..Frame::default() };
    Ok(html! {
        h2 { "Feature strength" }
        p {
            "Our own definition, not the paper's. A channel k of the last feature maps A contributes W" sub { "jk" }
            " · mean GAP(A)" sub { "k" } " to class j. It is frequent-specific if the mean of that over the frequent classes is among its top "
            (number(SHARE * 100.0)) " % and the mean over the rare classes is not; rare-specific the other way round. μ and σ are mean and standard deviation of A over those channels, all positions and test images."
        }
        p.soft { "Frequent: " (list(&features.frequent_classes)) ". Rare: " (list(&features.rare_classes)) ". " (features.images) " test images, the first ones of each class." }
        div.charts { (figure(title, "on test images of rare and of frequent classes. 1: both kinds answer alike; below 1 the frequent classes' features drown the others", &keys, &bars(&frame, &labels, &groups)?, &table(&head, &rows))) }
        h2 { "Where the channels answer" }
        p.soft { "Each image with the mean of A over the frequent-specific (middle) and rare-specific channels (right); orange is strong, on one scale for both maps of an image." }
        div.photos { @for (run, p) in by_class(&found) { (photo(run, p, &names)) } }
    })
}

/// Every picture, those of one test image beside each other.
fn by_class<'a>(found: &[(usize, &'a Run, &'a Features)]) -> Vec<(&'a Run, &'a Picture)> {
    let of =
        |(_, run, f): &(usize, &'a Run, &'a Features)| -> Vec<(usize, (&'a Run, &'a Picture))> {
            f.pictures.iter().enumerate().map(|(i, p)| (i, (*run, p))).collect()
        };
    let mut all: Vec<_> = found.iter().flat_map(of).collect();
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, p)| p).collect()
}

fn photo(run: &Run, p: &Picture, names: &[String]) -> Markup {
    let name = |c: usize| names.get(c).cloned().unwrap_or_else(|| format!("class {c}"));
    let most = p.frequent.iter().chain(&p.rare).fold(0f32, |m, v| m.max(*v)).max(1e-12);
    let verdict = if p.class == p.predicted {
        "right".to_string()
    } else {
        format!("taken for {}", name(p.predicted))
    };
    html! {
        figure {
            figcaption { (run.name) ": " (name(p.class)) small { (verdict) ", test image " (p.image) } }
            div.row {
                (overlay(p, &[], most, &name(p.class)))
                (overlay(p, &p.frequent, most, "frequent-specific channels"))
                (overlay(p, &p.rare, most, "rare-specific channels"))
            }
        }
    }
}

/// The image, grey under a map's cells where there is one.
fn overlay(p: &Picture, map: &[f32], most: f32, label: &str) -> Markup {
    let [h, w] = p.size;
    let link = format!("data:image/png;base64,{}", p.png);
    let faint = if map.is_empty() { "1" } else { "0.35" };
    html! {
        svg viewBox=(format!("0 0 {w} {h}")) role="img" aria-label=(label) {
            title { (label) }
            image href=(link) width=(w) height=(h) preserveAspectRatio="none" opacity=(faint) {}
            @for (i, v) in map.iter().enumerate() {
                rect.h x=(i % w) y=(i / w) width="1.01" height="1.01" fill-opacity=(format!("{:.2}", v / most * 0.9)) { title { (label) ": " (number(f64::from(*v))) } }
            }
        }
    }
}
