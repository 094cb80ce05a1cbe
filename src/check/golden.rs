//! Golden files: an op's inputs and the outputs that another program found for them.
//!
//! A golden file is a safetensors file with the tensors `in.0`, `in.1`, …, `out.0`, …, optionally
//! `grad_out.0`, … and `grad_in.0`, …, and the metadata `op`, `attrs` (JSON) and optionally `rtol`,
//! `atol`, `grad_rtol`, `grad_atol`, `name`. `docs/golden.md` says how to write one; `tools/golden.py`
//! completes the files of [`export_inputs`] with PyTorch's outputs.

#[cfg(test)]
mod tests;

use super::cases::{self, splitmix64};
use super::reference::{self, Array};
use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest golden file that is read, in bytes.
const MAX_FILE: u64 = 1 << 30;
/// Whole numbers up to this size are exact as floats.
const MAX_EXACT: i64 = 1 << 53;

/// How far a result may be from what was expected: |found − expected| ≤ atol + rtol·|expected|.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Relative to the expected value.
    pub rtol: f64,
    /// Absolute.
    pub atol: f64,
}

impl Default for Tolerance {
    /// What a file without tolerances gets.
    fn default() -> Self {
        Tolerance { rtol: 1e-4, atol: 1e-4 }
    }
}

/// A file's element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// 64-bit integers; 32-bit ones in a file become these.
    I64,
}

/// A tensor of a golden file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The element type it has in the file.
    pub kind: Kind,
    /// Its extents and elements.
    pub array: Array,
}

/// One case: an op, what goes in, and what should come out.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    /// The case's name, if the file has one.
    pub name: Option<String>,
    /// The op's public name. Whether it exists is not checked here.
    pub op: String,
    /// The attributes: a JSON object.
    pub attrs: Value,
    /// For the outputs.
    pub tolerance: Tolerance,
    /// For the gradients: that of the outputs unless the file says otherwise.
    pub grad_tolerance: Tolerance,
    /// `in.0`, …
    pub inputs: Vec<Tensor>,
    /// `out.0`, …; a file may leave out the last ones, or all.
    pub outputs: Vec<Tensor>,
    /// `grad_out.i` stands at i.
    pub grad_outs: Vec<Option<Tensor>>,
    /// `grad_in.i` stands at i.
    pub grad_ins: Vec<Option<Tensor>>,
}

impl Golden {
    /// Reads a golden file.
    ///
    /// # Errors
    /// A file that can't be read, is not safetensors, is cut short, holds other tensors than a golden
    /// file's, or whose gradients don't fit its inputs and outputs; the message says which.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
        read.map_err(|e| Error::io("read", path, e))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(Error::data(path, format!("is larger than {MAX_FILE} bytes")));
        }
        Self::from_bytes(&bytes).map_err(|message| Error::data(path, message))
    }

    /// Reads a golden file's bytes; the error is what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let broken = |e: safetensors::SafeTensorError| format!("not a valid safetensors file: {e}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let none = HashMap::new();
        let meta = header.metadata().as_ref().unwrap_or(&none);

        let op = meta.get("op").ok_or("the metadata has no `op`")?.clone();
        let attrs = match meta.get("attrs") {
            None => Value::Object(serde_json::Map::new()),
            Some(text) => serde_json::from_str(text)
                .ok()
                .filter(Value::is_object)
                .ok_or_else(|| format!("metadata `attrs` must be a JSON object, not `{text}`"))?,
        };
        let number = |key: &str, default: f64| match meta.get(key) {
            None => Ok(default),
            Some(text) => {
                text.parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0).ok_or_else(|| {
                    format!("metadata `{key}` must be a number from 0 up, not `{text}`")
                })
            }
        };
        let usual = Tolerance::default();
        let tolerance =
            Tolerance { rtol: number("rtol", usual.rtol)?, atol: number("atol", usual.atol)? };
        let grad_tolerance = Tolerance {
            rtol: number("grad_rtol", tolerance.rtol)?,
            atol: number("grad_atol", tolerance.atol)?,
        };

        let mut groups: BTreeMap<&str, BTreeMap<usize, Tensor>> = BTreeMap::new();
        let mut views = file.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, view) in &views {
            let (group, index) = place(name)?;
            let tensor = tensor(view).map_err(|e| format!("tensor `{name}` {e}"))?;
            groups.entry(group).or_default().insert(index, tensor);
        }
        let mut take = |group: &str| groups.remove(group).unwrap_or_default();
        let inputs = contiguous("in", take("in"))?;
        if inputs.is_empty() {
            return Err("has no tensor `in.0`".into());
        }
        let outputs = contiguous("out", take("out"))?;
        let grad_outs = sparse("grad_out", take("grad_out"), &outputs, "out")?;
        let grad_ins = sparse("grad_in", take("grad_in"), &inputs, "in")?;
        let name = meta.get("name").cloned();
        Ok(Golden {
            name,
            op,
            attrs,
            tolerance,
            grad_tolerance,
            inputs,
            outputs,
            grad_outs,
            grad_ins,
        })
    }

    /// Writes the golden file, whole or not at all.
    ///
    /// # Errors
    /// A file that can't be written, or a tensor whose extents don't fit its elements.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes().map_err(|message| Error::data(path, message))?;
        let partial = path.with_extension("part");
        fs::write(&partial, bytes).map_err(|e| Error::io("write", &partial, e))?;
        fs::rename(&partial, path).map_err(|e| Error::io("create", path, e))
    }

    fn to_bytes(&self) -> std::result::Result<Vec<u8>, String> {
        let some = |list: &[Tensor]| list.iter().cloned().map(Some).collect::<Vec<_>>();
        let groups = [
            ("in", some(&self.inputs)),
            ("out", some(&self.outputs)),
            ("grad_out", self.grad_outs.clone()),
            ("grad_in", self.grad_ins.clone()),
        ];
        let mut parts = Vec::new();
        for (group, list) in &groups {
            for (i, tensor) in list.iter().enumerate() {
                let Some(tensor) = tensor else { continue };
                parts.push((format!("{group}.{i}"), tensor, encode(tensor)));
            }
        }
        let mut views = Vec::new();
        for (name, tensor, bytes) in &parts {
            let dtype = match tensor.kind {
                Kind::F32 => Dtype::F32,
                Kind::F64 => Dtype::F64,
                Kind::I64 => Dtype::I64,
            };
            let view = TensorView::new(dtype, tensor.array.shape.clone(), bytes);
            views.push((name, view.map_err(|e| format!("tensor `{name}`: {e}"))?));
        }
        let mut meta = HashMap::from([
            ("op".to_string(), self.op.clone()),
            ("attrs".to_string(), self.attrs.to_string()),
            ("rtol".to_string(), self.tolerance.rtol.to_string()),
            ("atol".to_string(), self.tolerance.atol.to_string()),
            ("grad_rtol".to_string(), self.grad_tolerance.rtol.to_string()),
            ("grad_atol".to_string(), self.grad_tolerance.atol.to_string()),
        ]);
        meta.extend(self.name.clone().map(|name| ("name".to_string(), name)));
        safetensors::serialize(views, Some(meta)).map_err(|e| e.to_string())
    }

    /// The inputs without their element types, as the reference takes them.
    pub fn arrays(&self) -> Vec<Array> {
        self.inputs.iter().map(|t| t.array.clone()).collect()
    }
}

/// `in.3` → (`in`, 3)
fn place(name: &str) -> std::result::Result<(&str, usize), String> {
    const GROUPS: [&str; 4] = ["in", "out", "grad_out", "grad_in"];
    name.split_once('.')
        .filter(|(group, digits)| {
            GROUPS.contains(group) && digits.bytes().all(|b| b.is_ascii_digit())
        })
        .and_then(|(group, digits)| Some((group, digits.parse().ok().filter(|i| *i < 64)?)))
        .ok_or_else(|| format!("tensor `{name}` is none of in.N, out.N, grad_out.N and grad_in.N"))
}

/// Tensors numbered from 0 without a gap.
fn contiguous(
    group: &str,
    found: BTreeMap<usize, Tensor>,
) -> std::result::Result<Vec<Tensor>, String> {
    match (0..found.len()).find(|i| !found.contains_key(i)) {
        Some(i) => Err(format!("has no tensor `{group}.{i}`, but a later one")),
        None => Ok(found.into_values().collect()),
    }
}

/// Gradients, each in the shape of what it belongs to. Outputs may be missing (a file to be
/// completed); then nothing is known of their shapes.
fn sparse(
    group: &str,
    found: BTreeMap<usize, Tensor>,
    owners: &[Tensor],
    owner: &str,
) -> std::result::Result<Vec<Option<Tensor>>, String> {
    let mut list = vec![None; found.keys().last().map_or(0, |i| i + 1)];
    for (i, tensor) in found {
        match owners.get(i) {
            Some(o) if o.array.shape != tensor.array.shape => {
                let (found, wanted) = (&tensor.array.shape, &o.array.shape);
                return Err(format!("`{group}.{i}` is {found:?}, but `{owner}.{i}` is {wanted:?}"));
            }
            None if !owners.is_empty() => {
                return Err(format!("has `{group}.{i}`, but no `{owner}.{i}`"));
            }
            _ => list[i] = Some(tensor),
        }
    }
    Ok(list)
}

fn tensor(view: &TensorView<'_>) -> std::result::Result<Tensor, String> {
    fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| f(*chunk)).collect()
    }
    let bytes = view.data();
    let exact = |v: i64| if v.unsigned_abs() <= MAX_EXACT as u64 { v as f64 } else { f64::NAN };
    let (kind, data) = match view.dtype() {
        Dtype::F32 => (Kind::F32, each(bytes, |b| f64::from(f32::from_le_bytes(b)))),
        Dtype::F64 => (Kind::F64, each(bytes, f64::from_le_bytes)),
        Dtype::I64 => (Kind::I64, each(bytes, |b| exact(i64::from_le_bytes(b)))),
        Dtype::I32 => (Kind::I64, each(bytes, |b| f64::from(i32::from_le_bytes(b)))),
        other => {
            return Err(format!("has elements of type {other}; F32, F64, I64 and I32 are read"));
        }
    };
    if kind == Kind::I64 && data.iter().any(|v| v.is_nan()) {
        return Err(format!("holds an integer beyond {MAX_EXACT}"));
    }
    if data.is_empty() {
        return Err(format!("is empty: its shape is {:?}", view.shape()));
    }
    Ok(Tensor { kind, array: Array::new(view.shape(), data) })
}

fn encode(tensor: &Tensor) -> Vec<u8> {
    let data = tensor.array.data.iter();
    match tensor.kind {
        Kind::F32 => data.flat_map(|v| (*v as f32).to_le_bytes()).collect(),
        Kind::F64 => data.flat_map(|v| v.to_le_bytes()).collect(),
        Kind::I64 => data.flat_map(|v| (*v as i64).to_le_bytes()).collect(),
    }
}

/// What [`compare`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whether every element is within the tolerance.
    pub ok: bool,
    /// How many elements are not.
    pub failures: usize,
    /// The largest |found − expected|; infinite where only one of them is finite.
    pub max_abs: f64,
    /// The largest |found − expected| / |expected|, over expected values that are not 0.
    pub max_rel: f64,
    /// The largest |found − expected| / (atol + rtol·|expected|): at most 1 when within.
    pub max_share: f64,
    /// Where the largest share is.
    pub worst: usize,
    /// The value expected there.
    pub expected: f64,
    /// The value found there.
    pub found: f64,
    /// The two shapes, when they differ; then nothing else was compared.
    pub shapes: Option<(Vec<usize>, Vec<usize>)>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((expected, found)) = &self.shapes {
            return write!(f, "expected the shape {expected:?}, found {found:?}");
        }
        write!(
            f,
            "max error {:.2e} absolute, {:.2e} relative; element {}: expected {}, found {}",
            self.max_abs, self.max_rel, self.worst, self.expected, self.found
        )
    }
}

/// Compares a result with what was expected, element by element.
///
/// NaN equals NaN, and infinities of one sign are equal; an expected value beyond the range of a
/// 32-bit float is an infinity. A scalar and an array of one element count as one shape.
pub fn compare(expected: &Array, found: &Array, tolerance: Tolerance) -> Report {
    let mut report = Report {
        ok: true,
        failures: 0,
        max_abs: 0.0,
        max_rel: 0.0,
        max_share: 0.0,
        worst: 0,
        expected: expected.data.first().copied().unwrap_or(0.0),
        found: found.data.first().copied().unwrap_or(0.0),
        shapes: None,
    };
    let single = |a: &Array| a.data.len() == 1 && a.shape.len() <= 1;
    let alike = expected.shape == found.shape || (single(expected) && single(found));
    if !alike || expected.data.len() != found.data.len() {
        let shapes = Some((expected.shape.clone(), found.shape.clone()));
        return Report { ok: false, shapes, ..report };
    }
    for (i, (e, g)) in expected.data.iter().zip(&found.data).enumerate() {
        let e = if e.abs() > f64::from(f32::MAX) { e.signum() * f64::INFINITY } else { *e };
        let equal = e == *g || (e.is_nan() && g.is_nan());
        let error = match (e - g).abs() {
            _ if equal => 0.0,
            d if d.is_nan() => f64::INFINITY,
            d => d,
        };
        let bound = tolerance.atol + tolerance.rtol * e.abs();
        // An infinite expected value has an infinite bound, which excuses nothing.
        let share = match error {
            0.0 => 0.0,
            d if d.is_infinite() || bound == 0.0 => f64::INFINITY,
            d => d / bound,
        };
        if share > 1.0 {
            report.ok = false;
            report.failures += 1;
        }
        report.max_abs = report.max_abs.max(error);
        if e != 0.0 && error > 0.0 {
            let relative = if error.is_infinite() { error } else { error / e.abs() };
            report.max_rel = report.max_rel.max(relative);
        }
        if share > report.max_share {
            report.max_share = share;
            (report.worst, report.expected, report.found) = (i, e, *g);
        }
    }
    report
}

/// Writes one file per case of [`cases::all`] into the folder `dir` (made if need be): the inputs,
/// and gradients of the outputs where the case has them. Returns the files.
///
/// # Errors
/// A folder or file that can't be written.
pub fn export_inputs(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    let mut files = Vec::new();
    for case in cases::all() {
        let kinds =
            case.inputs.iter().map(|spec| if spec.fill.integer() { Kind::I64 } else { Kind::F32 });
        let arrays = case.inputs();
        let grad_outs = if case.grad {
            let outputs = reference::run(case.op, &case.attrs, &arrays)?;
            let wrap = |array| Some(Tensor { kind: Kind::F32, array });
            case.grad_outs(&outputs).into_iter().map(wrap).collect()
        } else {
            Vec::new()
        };
        let golden = Golden {
            name: Some(case.name.clone()),
            op: case.op.to_string(),
            attrs: case.attrs.clone(),
            tolerance: case.tolerance,
            grad_tolerance: case.grad_tolerance,
            inputs: kinds.zip(arrays).map(|(kind, array)| Tensor { kind, array }).collect(),
            outputs: Vec::new(),
            grad_outs,
            grad_ins: Vec::new(),
        };
        let path = dir.join(format!("{}.safetensors", case.name.replace('/', ".")));
        golden.write(&path)?;
        files.push(path);
    }
    Ok(files)
}

/// Record `i` of the images that need no download, in CIFAR-10's binary layout: the label i mod 10,
/// then pixel bytes j = 0 … 3071, each the top 8 bits of splitmix64(i·3072 + j). The committed
/// trajectories of `tests/golden/trajectory` are trained on records 0 to 39.
pub fn made_record(i: u64) -> Vec<u8> {
    let pixels = (0..3072).map(|j| (splitmix64(i * 3072 + j) >> 56) as u8);
    std::iter::once((i % 10) as u8).chain(pixels).collect()
}
