//! Which norm layers become normalized batch norm: names and patterns.

use crate::error::{Result, unknown};

/// Which layers become normalized batch norm.
#[derive(Clone, Debug, PartialEq)]
pub enum NbnLayers {
    /// The second norm of every block of the last stage.
    LastStage,
    /// Every norm layer.
    All,
    /// No layer.
    None,
    /// The modules that match a pattern; `*` stands for any run of characters.
    Patterns(Vec<String>),
}

impl NbnLayers {
    /// Reads `last-stage`, `all`, `none`, or patterns separated by commas.
    ///
    /// # Errors
    /// Text that is none of these, with the nearest known name.
    pub fn parse(text: &str) -> Result<Self> {
        const NAMES: &[&str] = &["last-stage", "all", "none", "or patterns such as layer3.*.bn2"];
        // A module's name has a dot, but for the stem's `bn1`; anything else is a misspelt name.
        let is_pattern = |p: &str| {
            (p.contains(['.', '*']) || p.starts_with("bn"))
                && p.chars().all(|c| c.is_ascii_alphanumeric() || "_.*".contains(c))
        };
        match text {
            "last-stage" => return Ok(Self::LastStage),
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let patterns: Vec<&str> = text.split(',').map(str::trim).collect();
        match patterns.iter().find(|p| !is_pattern(p)) {
            Some(wrong) => Err(unknown("nbn_layers", wrong, NAMES)),
            None => Ok(Self::Patterns(patterns.into_iter().map(String::from).collect())),
        }
    }

    /// Whether the norm layer `module` (such as `layer3.0.bn2`) is chosen in a network whose last
    /// stage is `last_stage` (such as `layer3`).
    pub fn selects(&self, module: &str, last_stage: &str) -> bool {
        match self {
            Self::LastStage => glob(&format!("{last_stage}.*.bn2"), module),
            Self::All => true,
            Self::None => false,
            Self::Patterns(patterns) => patterns.iter().any(|p| glob(p, module)),
        }
    }
}

/// Whether `name` matches `pattern`, where `*` stands for any run of characters.
fn glob(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(tail) = name.strip_prefix(head) else {
        return false;
    };
    (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|t| glob(rest, t)))
}
