//! One setting: its kind of value, and the check that names what is allowed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use toml::Value;

use crate::error::{Error, Result, unknown};

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`; a flag without a value means `true`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Text or a path.
    Text,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Whole numbers: a list in a file, separated by commas in a flag.
    Ints,
    /// Numbers: a list in a file, separated by commas in a flag.
    Floats,
    /// Numbers by name: `{ gamma = 2.0 }` in a file, `gamma=2.0` in a flag.
    Named,
}

/// The kind of a Rust type, for settings that are not a choice of names.
pub(super) trait Setting {
    const KIND: Kind;
}
macro_rules! kinds {
    ($($ty:ty => $kind:ident),+) => { $(impl Setting for $ty { const KIND: Kind = Kind::$kind; })+ };
}
kinds! { bool => Bool, usize => Int, u64 => Int, u32 => Int, f64 => Float, String => Text,
PathBuf => Text, Vec<usize> => Ints, Vec<f64> => Floats, BTreeMap<String, f64> => Named }
impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;
}

/// One setting: where it stands in a recipe, its flag, and what it may be.
#[derive(Clone, Debug)]
pub struct Key {
    /// The recipe's section, such as `train`.
    pub section: &'static str,
    /// The name in that section, such as `batch_size`.
    pub name: &'static str,
    /// One line that says what it is.
    pub help: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// For numbers: the smallest value, and the end, which is excluded.
    pub range: Range<f64>,
    /// The field of [`Config`] that holds it.
    pub(super) group: &'static str,
    /// The field of [`Overrides`] that holds it.
    pub(super) field: &'static str,
}

impl Key {
    /// The flag, with its dashes.
    pub fn flag(&self) -> String {
        format!("--{}", self.field.replace('_', "-"))
    }

    /// The help, with the names to choose from.
    pub fn describe(&self) -> String {
        let help = self.help.trim();
        match self.kind {
            Kind::Choice(names) => format!("{help}: {}", names.join(" | ")),
            _ => help.to_string(),
        }
    }

    /// Reads a flag's text as this setting's kind of value, unchecked.
    pub(super) fn read(&self, text: &str) -> Value {
        let number = |t: &str| match (self.kind, t.trim().parse::<i64>(), t.trim().parse::<f64>()) {
            (_, Ok(int), _) => Value::Integer(int),
            (Kind::Float | Kind::Floats | Kind::Named, _, Ok(float)) => Value::Float(float),
            _ => Value::String(t.to_string()),
        };
        match self.kind {
            Kind::Int | Kind::Float => number(text),
            Kind::Ints | Kind::Floats => Value::Array(text.split(',').map(number).collect()),
            Kind::Named => {
                let pair = |t: &str| {
                    let (name, value) = t.split_once('=')?;
                    Some((name.trim().to_string(), number(value)))
                };
                let named: Option<toml::Table> =
                    text.split(',').filter(|t| !t.trim().is_empty()).map(pair).collect();
                named.map_or(Value::String(text.into()), Value::Table)
            }
            Kind::Bool => text.parse().map_or(Value::String(text.into()), Value::Boolean),
            Kind::Text | Kind::Choice(_) => Value::String(text.to_string()),
        }
    }

    /// The value in the type that [`Config`] wants.
    ///
    /// # Errors
    /// A wrong type, an unknown name, or a number out of range; the message starts with `label`.
    pub(super) fn check(&self, label: &str, value: &Value) -> Result<Value> {
        let expected =
            |what: &str| Err(Error::usage(format!("{label} must be {what}, not {value}")));
        let each = |items: &[Value], kind| {
            let key = Key { kind, ..self.clone() };
            let items: Result<_> = items.iter().map(|v| key.check(label, v)).collect();
            Ok(Value::Array(items?))
        };
        match (self.kind, value) {
            (Kind::Bool, Value::Boolean(_)) | (Kind::Text, Value::String(_)) => Ok(value.clone()),
            // `device = 0` and `data = 2024` are clear enough without quotes.
            (Kind::Text, Value::Integer(n)) => Ok(Value::String(n.to_string())),
            (Kind::Choice(names), Value::String(name)) if !names.contains(&name.as_str()) => {
                Err(Error::usage(format!("{label}: {}", unknown(self.name, name, names))))
            }
            (Kind::Choice(_), Value::String(_)) => Ok(value.clone()),
            (Kind::Int, Value::Integer(n)) if self.range.contains(&(*n as f64)) => {
                Ok(value.clone())
            }
            (Kind::Float, Value::Integer(n)) => self.check(label, &Value::Float(*n as f64)),
            (Kind::Float, Value::Float(x)) if self.range.contains(x) => Ok(value.clone()),
            (Kind::Int, Value::Integer(_)) | (Kind::Float, Value::Float(_)) => {
                expected(&self.bounds())
            }
            (Kind::Ints, Value::Array(items)) => each(items, Kind::Int),
            (Kind::Floats, Value::Array(items)) => each(items, Kind::Float),
            (Kind::Named, Value::Table(items)) => {
                let key = Key { kind: Kind::Float, range: f64::MIN..f64::INFINITY, ..self.clone() };
                let items: Result<toml::Table> = items
                    .iter()
                    .map(|(k, v)| Ok((k.clone(), key.check(&format!("{label}: {k}"), v)?)))
                    .collect();
                Ok(Value::Table(items?))
            }
            (Kind::Named, _) => expected("numbers by name, such as gamma=2.0"),
            (Kind::Bool, _) => expected("true or false"),
            (Kind::Int, _) => expected("a whole number"),
            (Kind::Float, _) => expected("a number"),
            (Kind::Text, _) => expected("text in quotes"),
            (Kind::Choice(names), _) => expected(&format!("one of {}", names.join(", "))),
            (Kind::Ints, _) => expected("a list of whole numbers"),
            (Kind::Floats, _) => expected("a list of numbers"),
        }
    }

    /// The range in words.
    fn bounds(&self) -> String {
        match (&self.range, self.kind) {
            (Range { start, end }, _) if end.is_infinite() => {
                format!("at least {start} and finite")
            }
            (Range { start, end }, Kind::Int) => format!("from {start} to {}", end - 1.0),
            (Range { start, end }, _) => format!("at least {start} and below {end}"),
        }
    }
}
