//! `evenkeel methods`: the parts that recipes are made of, and the recipes that come with the program.

use crate::error::{Result, unknown};
use crate::train::methods::{Part, parts};
use crate::train::progress::say;
use crate::train::recipes;
use serde_json::json;

/// Arguments of `methods`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A part or recipe to show whole
    name: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if let Some(name) = &args.name {
        return one(name);
    }
    let all = parts();
    if args.json {
        let recipes = recipes::all().iter().map(|(name, _)| {
            let m = recipes::method(name)?;
            Ok(json!({"name": name, "title": m.title, "paper": m.paper, "year": m.year,
                "published": m.published, "source": m.source, "differs": m.differs}))
        });
        let recipes: Vec<_> = recipes.collect::<Result<_>>()?;
        say(format_args!("{}", json!({"parts": all, "recipes": recipes})));
        return Ok(());
    }
    say(format_args!(
        "Parts (z logits, y label, p = softmax(z), n_j training images, pi_j = n_j/N)"
    ));
    let mut kind = "";
    let mut working: Vec<&Part> = all.iter().filter(|p| p.works).collect();
    working.sort_by_key(|p| all.iter().position(|q| q.kind == p.kind));
    for part in working {
        if kind != part.kind {
            kind = part.kind;
            say(format_args!("\n  {kind}"));
        }
        say(format_args!("    {:<34} {}", part.setting, part.equation));
        let source = cite(part);
        if !source.is_empty() {
            say(format_args!("    {:<34} {source}", ""));
        }
    }
    say(format_args!("\n  not built"));
    for part in all.iter().filter(|p| !p.works) {
        say(format_args!("    {:<34} {}", part.setting, part.note));
    }
    say(format_args!(
        "\nRecipes (`evenkeel train NAME`, `evenkeel compare NAME…`), published accuracy in %"
    ));
    for (name, _) in recipes::all() {
        let m = recipes::method(name)?;
        let published = m.published.map_or("–".into(), |p| format!("{p:.2}"));
        let year = m.year.map_or(String::new(), |y| format!(", {y}"));
        say(format_args!("    {name:<34} {published:>6}  {}{year}", m.title));
    }
    Ok(())
}

fn cite(part: &Part) -> String {
    match part.year {
        Some(year) if !part.paper.is_empty() => format!("{}, {year}", part.paper),
        _ => part.paper.to_string(),
    }
}

/// A part or recipe with all there is to say of it.
fn one(name: &str) -> Result<()> {
    if let Some((_, text)) = recipes::all().iter().find(|(known, _)| *known == name) {
        say(format_args!("{}", text.trim_end()));
        return Ok(());
    }
    let all = parts();
    let value = |p: &Part| p.setting.rsplit('"').nth(1).unwrap_or(&p.setting).to_string();
    let found: Vec<&Part> = all.iter().filter(|p| value(p) == name).collect();
    if found.is_empty() {
        let mut names: Vec<String> = all.iter().map(value).collect();
        names.extend(recipes::all().iter().map(|(name, _)| (*name).to_string()));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(unknown("part or recipe", name, &names));
    }
    for part in found {
        say(format_args!("{} ({})", part.setting, part.kind));
        for (what, text) in
            [("equation", part.equation), ("paper", &cite(part)), ("note", part.note)]
        {
            if !text.is_empty() {
                say(format_args!("  {what:<9} {text}"));
            }
        }
        if let Some(d) = crate::loss::LOSSES.iter().find(|d| d.name == name && part.kind == "loss")
        {
            for o in d.options {
                say(format_args!("  {:<9} {} = {}: {}", "option", o.name, o.default, o.help));
            }
        }
    }
    Ok(())
}
