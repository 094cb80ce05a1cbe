//! Lists `src/loss/*.rs` and `recipes/**/*.toml`, so that adding a loss or a recipe takes one file: the
//! modules with their table `LOSSES`, and the table `RECIPES` of name and text, are generated from the folders.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let lost = || std::io::Error::other("cargo sets CARGO_MANIFEST_DIR and OUT_DIR");
    let root = variable("CARGO_MANIFEST_DIR").ok_or_else(lost)?;
    let out = variable("OUT_DIR").ok_or_else(lost)?;

    let mut modules = String::new();
    let mut table = String::from(
        "/// Every loss: a file of `src/loss/`.\npub static LOSSES: &[&Definition] = &[\n",
    );
    for path in files(&root.join("src/loss"), "rs")? {
        let stem = stem(&path);
        let apart = [
            "mod",
            "terms",
            "objective",
            "centroids",
            "contrast",
            "distill",
            "evidence",
            "groups",
            "parametric",
        ];
        if !apart.contains(&stem.as_str()) {
            let _ = writeln!(modules, "#[path = {path:?}]\nmod {stem};");
            let _ = writeln!(table, "    &{stem}::LOSS,");
        }
    }
    std::fs::write(out.join("losses.rs"), format!("{modules}\n{table}];\n"))?;

    let mut table = String::from("const RECIPES: &[(&str, &str)] = &[\n");
    for path in files(&root.join("recipes"), "toml")? {
        let folder = path.parent().map(stem).unwrap_or_default();
        let name = format!("{folder}/{}", stem(&path));
        let _ = writeln!(table, "    ({name:?}, include_str!({path:?})),");
    }
    std::fs::write(out.join("recipes.rs"), table + "];\n")
}

fn stem(path: impl AsRef<Path>) -> String {
    path.as_ref().file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The files below `folder` with an extension, sorted; cargo is told to look at them again.
fn files(folder: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
