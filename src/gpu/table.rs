//! Tables of the kernel variants measured best on a device: what `evenkeel tune` writes and every
//! command reads when it opens an adapter.
//!
//! `EVENKEEL_TUNE=FILE`, else the user's own table for the adapter in the cache folder, else the table
//! that ships for it; `EVENKEEL_TUNE=off` reads none. An entry whose variant is not offered for its
//! shape (any more) is passed over when a kernel is chosen, so an old table does no harm.

use crate::error::{Error, Result};
use evenkeel_kernels::Tuned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A table as its file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The adapter's name.
    pub device: String,
    /// Backend.
    pub backend: String,
    /// Driver and its version when it was measured.
    pub driver: String,
    /// evenkeel's version then.
    pub evenkeel: String,
    /// The choices.
    #[serde(default, rename = "choice")]
    pub choices: Vec<Choice>,
}

/// The best variant of a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The shape's key (`evenkeel_kernels::conv2d_key`, `matmul_key`).
    pub shape: String,
    /// The variant to take.
    pub variant: String,
    /// Its time, ms.
    pub ms: f64,
    /// Batch size it was measured at.
    pub batch: usize,
    /// The variant that would be taken without a table ...
    pub usual: String,
    /// ... and its time, ms.
    pub usual_ms: f64,
}

/// Tables that ship, each for adapters whose name begins so.
const SHIPPED: &[(&str, &str)] = &[("llvmpipe", include_str!("tables/llvmpipe.toml"))];

impl Table {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        toml::from_str(text).map_err(|e| e.to_string().trim().to_string())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read or is no table.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        Table::parse(&text).map_err(|e| Error::data(path, format!("is no tuning table: {e}")))
    }

    /// The file's text.
    ///
    /// # Errors
    /// A number that TOML cannot hold.
    pub fn text(&self) -> Result<String> {
        let body = toml::to_string(self).map_err(|e| Error::Failure(format!("a table: {e}")))?;
        Ok(format!(
            "# The kernel variants that `evenkeel tune` found fastest on this device.\n{body}"
        ))
    }

    /// The choices as kernels take them.
    pub fn tuned(&self) -> Tuned {
        Tuned::new(self.choices.iter().map(|c| (c.shape.clone(), c.variant.clone())))
    }
}

/// Where the user's own table for an adapter lies; `None` on a system without a cache folder.
pub fn user_path(info: &wgpu::AdapterInfo) -> Option<PathBuf> {
    let mut name = String::new();
    for c in format!("{}-{}", info.name, info.backend).to_lowercase().chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_matches('-');
    Some(dirs::cache_dir()?.join("evenkeel").join("tune").join(format!("{name}.toml")))
}

/// The choices for an adapter.
///
/// # Errors
/// A table of the user's that cannot be read; it says how to go on without.
pub(super) fn load(info: &wgpu::AdapterInfo) -> Result<Tuned> {
    let named = std::env::var_os("EVENKEEL_TUNE").filter(|v| !v.is_empty());
    let path = match named {
        Some(off) if off == "off" => return Ok(Tuned::default()),
        Some(path) => Some(PathBuf::from(path)),
        None => user_path(info).filter(|p| p.is_file()),
    };
    if let Some(path) = path {
        let table = Table::read(&path).map_err(|e| {
            Error::Failure(format!("{e}; EVENKEEL_TUNE=off goes on without a tuning table"))
        })?;
        return Ok(table.tuned());
    }
    match SHIPPED.iter().find(|(name, _)| info.name.starts_with(name)) {
        None => Ok(Tuned::default()),
        Some((name, text)) => Table::parse(text)
            .map(|t| t.tuned())
            .map_err(|e| Error::Failure(format!("the table that ships for {name}: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            device: "made up".into(),
            backend: "vulkan".into(),
            driver: "1".into(),
            evenkeel: "0.1.0".into(),
            choices: vec![Choice {
                shape: "matmul 1x2x3".into(),
                variant: "naive".into(),
                ms: 0.5,
                batch: 1,
                usual: "tiled".into(),
                usual_ms: 1.0,
            }],
        }
    }

    #[test]
    fn a_table_survives_its_file() -> Result<()> {
        let text = table().text()?;
        assert_eq!(Table::parse(&text), Ok(table()));
        assert_eq!(table().tuned().get("matmul 1x2x3"), Some("naive"));
        Ok(())
    }

    #[test]
    fn what_is_no_table_is_told() {
        let wrong = Table::parse("device = 3").expect_err("no table");
        assert!(wrong.contains("device"), "{wrong}");
        let text = table().text().expect("a text");
        assert!(Table::parse(&text.replace("variant", "varient")).is_err());
    }

    #[test]
    fn every_shipped_table_is_one() {
        for (name, text) in SHIPPED {
            assert!(Table::parse(text).is_ok_and(|t| t.device.starts_with(name)), "{name}");
        }
    }
}
