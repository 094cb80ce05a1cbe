//! The recipes that come with the program: files of `recipes/`, found by `folder/name`. A recipe's
//! `[method]` section says what it is and what was published; the rest is its [`Config`].

use super::config::Config;
use crate::error::{Error, Result, unknown};
use serde::Deserialize;
use std::path::Path;

/// What a recipe says of its method.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Method {
    /// What it is called.
    pub title: String,
    /// Authors, title, venue.
    pub paper: String,
    /// Its year.
    pub year: Option<u16>,
    /// Published accuracy in percent on this benchmark.
    pub published: Option<f64>,
    /// Where that number was read.
    pub source: String,
    /// What differs from the published setting.
    pub differs: String,
}

include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// Names and texts.
pub fn all() -> &'static [(&'static str, &'static str)] {
    RECIPES
}

/// The recipe in the file `name`, or the one that comes with the program under that name.
///
/// # Errors
/// Neither, with the nearest name; a file that is no recipe.
pub fn load(name: &str) -> Result<Config> {
    let path = Path::new(name);
    if path.is_file() {
        return Config::from_toml_file(path);
    }
    match RECIPES.iter().find(|(known, _)| *known == name) {
        Some((known, text)) => Config::parse(text, known),
        None if path.extension().is_some_and(|e| e == "toml") => {
            Err(Error::usage(format!("{name}: no such recipe")))
        }
        None => {
            let names: Vec<&str> = RECIPES.iter().map(|(name, _)| *name).collect();
            Err(unknown("recipe", name, &names))
        }
    }
}

/// The `[method]` section of a recipe, empty where it has none.
///
/// # Errors
/// As [`load`].
pub fn method(name: &str) -> Result<Method> {
    let path = Path::new(name);
    let kept = RECIPES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let text = match kept {
        _ if path.is_file() => {
            std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?
        }
        Some(text) => text.to_string(),
        None => return load(name).map(|_| Method::default()),
    };
    of_text(&text, name)
}

/// The `[method]` section of a recipe's text.
///
/// # Errors
/// A key that it does not have.
pub(super) fn of_text(text: &str, origin: &str) -> Result<Method> {
    #[derive(Deserialize)]
    struct File {
        method: Option<Method>,
    }
    let file: File = toml::from_str(text).map_err(|e| Error::usage(format!("{origin}: {e}")))?;
    Ok(file.method.unwrap_or_default())
}
