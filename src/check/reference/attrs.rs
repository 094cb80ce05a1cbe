//! Attributes of an op, read from JSON: absent or null means the default.

use crate::error::{Error, Result, unknown};
use serde_json::Value;

/// No stride, padding or extent is larger than this.
const MAX: u64 = 1 << 20;

/// The attributes given to one op.
pub(in crate::check) struct Attrs<'a> {
    /// The op's name, for errors.
    pub op: &'static str,
    given: Option<&'a serde_json::Map<String, Value>>,
}

impl<'a> Attrs<'a> {
    /// Checks that `given` is an object (or null) with no other keys than `known`.
    pub fn new(op: &'static str, known: &[&str], given: &'a Value) -> Result<Self> {
        let given = match given {
            Value::Null => None,
            Value::Object(map) => Some(map),
            other => {
                return Err(Error::Usage(format!("{op}: attrs must be an object, not {other}")));
            }
        };
        let mut keys = given.iter().flat_map(|map| map.keys());
        match keys.find(|k| !known.contains(&k.as_str())) {
            Some(key) if known.is_empty() => {
                Err(Error::Usage(format!("{op} has no attributes, but `{key}` was given")))
            }
            Some(key) => Err(unknown(&format!("attribute of {op}"), key, known)),
            None => Ok(Attrs { op, given }),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.given?.get(name).filter(|v| !v.is_null())
    }

    fn wrong(&self, name: &str, wanted: &str, found: &Value) -> Error {
        Error::Usage(format!("{}: attribute `{name}` must be {wanted}, not {found}", self.op))
    }

    /// A whole number from 0 up.
    pub fn size(&self, name: &str, default: usize) -> Result<usize> {
        let Some(v) = self.get(name) else { return Ok(default) };
        let found = v.as_u64().filter(|n| *n <= MAX);
        let wanted = format!("a whole number from 0 to {MAX}");
        found.map(|n| n as usize).ok_or_else(|| self.wrong(name, &wanted, v))
    }

    /// As [`Attrs::size`], and it must be there.
    pub fn required_size(&self, name: &str) -> Result<usize> {
        self.present(name)?;
        self.size(name, 0)
    }

    /// Rows and columns: one number for both, or two.
    pub fn pair(&self, name: &str, default: [usize; 2]) -> Result<[usize; 2]> {
        let Some(v) = self.get(name) else { return Ok(default) };
        let size = |v: &Value| v.as_u64().filter(|n| *n <= MAX).map(|n| n as usize);
        let found = match v.as_array().map(Vec::as_slice) {
            Some([a]) => size(a).map(|a| [a, a]),
            Some([a, b]) => size(a).zip(size(b)).map(|(a, b)| [a, b]),
            Some(_) => None,
            None => size(v).map(|a| [a, a]),
        };
        let wanted = format!("one or two whole numbers from 0 to {MAX}");
        found.ok_or_else(|| self.wrong(name, &wanted, v))
    }

    /// As [`Attrs::pair`], at least 1 each.
    pub fn positive_pair(&self, name: &str, default: [usize; 2]) -> Result<[usize; 2]> {
        let found = self.pair(name, default)?;
        if found.contains(&0) {
            let text = format!("{}: attribute `{name}` must be at least 1", self.op);
            return Err(Error::Usage(text));
        }
        Ok(found)
    }

    /// The error for an attribute that must be there and is not.
    pub fn present(&self, name: &str) -> Result<()> {
        match self.get(name) {
            Some(_) => Ok(()),
            None => Err(Error::Usage(format!("{}: attribute `{name}` is missing", self.op))),
        }
    }

    /// A finite number.
    pub fn number(&self, name: &str, default: f64) -> Result<f64> {
        let Some(v) = self.get(name) else { return Ok(default) };
        v.as_f64().ok_or_else(|| self.wrong(name, "a number", v))
    }

    /// True or false.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        let Some(v) = self.get(name) else { return Ok(default) };
        v.as_bool().ok_or_else(|| self.wrong(name, "true or false", v))
    }

    /// One of a few words.
    pub fn word(&self, name: &str, known: &[&'static str]) -> Result<&'static str> {
        let Some(v) = self.get(name) else { return Ok(known[0]) };
        let found = v.as_str().and_then(|s| known.iter().find(|k| **k == s));
        found.copied().ok_or_else(|| self.wrong(name, &format!("one of {known:?}"), v))
    }

    /// Whole numbers, of any sign: one or a list.
    pub fn integers(&self, name: &str) -> Result<Option<Vec<i64>>> {
        let Some(v) = self.get(name) else { return Ok(None) };
        let found = match v.as_array() {
            Some(list) => list.iter().map(Value::as_i64).collect(),
            None => v.as_i64().map(|n| vec![n]),
        };
        found.map(Some).ok_or_else(|| self.wrong(name, "a whole number or a list of them", v))
    }

    /// Axes of an array of `rank` axes, negative ones counted from the end; `None` when absent.
    pub fn axes(&self, name: &str, rank: usize) -> Result<Option<Vec<usize>>> {
        let Some(given) = self.integers(name)? else { return Ok(None) };
        let mut axes = Vec::new();
        for i in given {
            let axis = if i < 0 { i.saturating_add(rank as i64) } else { i };
            match usize::try_from(axis) {
                Ok(a) if a < rank && !axes.contains(&a) => axes.push(a),
                _ => {
                    let text = format!("{}: `{name}` {i} with an input of {rank} axes", self.op);
                    return Err(Error::Usage(text));
                }
            }
        }
        Ok(Some(axes))
    }
}
