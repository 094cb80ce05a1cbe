//! Golden files: round trip, lies, comparison; and the reference against PyTorch's files.

use super::{Golden, Kind, Tensor, Tolerance, compare, export_inputs, made_record};
use crate::check::cases;
use crate::check::reference::{Array, grads, run};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A folder of this test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evenkeel-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn f32s(shape: &[usize], data: &[f64]) -> Tensor {
    Tensor { kind: Kind::F32, array: Array::new(shape, data.to_vec()) }
}

fn example() -> Golden {
    let target = Tensor { kind: Kind::I64, array: Array::new([2], vec![1.0, 0.0]) };
    Golden {
        name: Some("an example".into()),
        op: "cross_entropy".into(),
        attrs: json!({"reduction": "sum"}),
        tolerance: Tolerance { rtol: 1e-5, atol: 0.0 },
        grad_tolerance: Tolerance { rtol: 1e-3, atol: 1e-6 },
        inputs: vec![f32s(&[2, 3], &[0.5, -1.0, 2.0, 0.0, f64::NEG_INFINITY, 1.5]), target],
        outputs: vec![f32s(&[], &[2.25])],
        grad_outs: vec![Some(f32s(&[], &[0.5]))],
        grad_ins: vec![Some(f32s(&[2, 3], &[0.25; 6]))],
    }
}

#[test]
fn a_file_comes_back_as_written() {
    let folder = Folder::new("golden-round");
    let path = folder.0.join("x.safetensors");
    example().write(&path).unwrap();
    assert_eq!(Golden::read(&path).unwrap(), example());
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");
    assert!(Golden::read(&folder.0.join("none.safetensors")).is_err());
}

/// A safetensors file with this header and as many zero bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

#[test]
fn a_lying_file_is_refused_with_its_reason() {
    let tensor = |name: &str, dtype: &str, shape: &str, len: usize| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{len}]}}"#)
    };
    let meta = r#""__metadata__":{"op":"relu"}"#;
    let whole = |parts: &[String]| format!("{{{meta},{}}}", parts.join(","));
    let one = tensor("in.0", "F32", "[2]", 8);
    let header_cases: Vec<(String, usize, &str)> = vec![
        (format!("{{{one}}}"), 8, "no `op`"),
        (whole(&[tensor("in.1", "F32", "[2]", 8)]), 8, "no tensor `in.0`"),
        (whole(&[tensor("out.0", "F32", "[2]", 8)]), 8, "no tensor `in.0`"),
        (whole(&[tensor("inn.0", "F32", "[2]", 8)]), 8, "`inn.0` is none of"),
        (whole(&[tensor("in.+0", "F32", "[2]", 8)]), 8, "`in.+0` is none of"),
        (whole(&[tensor("in.99999999999", "F32", "[2]", 8)]), 8, "is none of"),
        (whole(&[tensor("in.0", "BF16", "[4]", 8)]), 8, "BF16"),
        (whole(&[tensor("in.0", "F32", "[0]", 0)]), 0, "is empty"),
        (whole(&[tensor("in.0", "F32", "[2]", 8)]), 4, "not a valid safetensors file"),
        (whole(&[tensor("in.0", "F32", "[1000000000000]", 8)]), 8, "not a valid"),
        (whole(&[tensor("in.0", "F32", "[4294967296,4294967296]", 8)]), 8, "not a valid"),
        (format!(r#"{{"__metadata__":{{"op":"relu","attrs":"[1]"}},{one}}}"#), 8, "`attrs`"),
        (format!(r#"{{"__metadata__":{{"op":"relu","rtol":"-1"}},{one}}}"#), 8, "`rtol`"),
        (format!(r#"{{"__metadata__":{{"op":"relu","atol":"inf"}},{one}}}"#), 8, "`atol`"),
        ("not json".into(), 0, "not a valid"),
    ];
    for (header, data, word) in header_cases {
        let message = Golden::from_bytes(&file(&header, data)).unwrap_err();
        assert!(message.contains(word), "{header}: {message}");
    }
    for bytes in [vec![], vec![1, 2, 3], u64::MAX.to_le_bytes().to_vec(), vec![255; 40]] {
        assert!(Golden::from_bytes(&bytes).is_err());
    }
    // every cut of a good file
    let good = example().to_bytes().unwrap();
    for end in 0..good.len() {
        assert!(Golden::from_bytes(&good[..end]).is_err(), "cut at {end}");
    }
    // gradients of other shapes than what they belong to
    let mut wrong = example();
    wrong.grad_ins[0] = Some(f32s(&[3, 2], &[0.0; 6]));
    assert!(Golden::from_bytes(&wrong.to_bytes().unwrap()).unwrap_err().contains("grad_in.0"));
    let mut wrong = example();
    wrong.grad_outs.push(Some(f32s(&[], &[1.0])));
    assert!(Golden::from_bytes(&wrong.to_bytes().unwrap()).unwrap_err().contains("no `out.1`"));
}

#[test]
fn comparison_knows_infinities_and_nan() {
    let array = |v: &[f64]| Array::new([v.len()], v.to_vec());
    let within = Tolerance { rtol: 1e-3, atol: 1e-6 };
    let inf = f64::INFINITY;
    let report = compare(&array(&[1.0, inf, f64::NAN]), &array(&[1.0005, inf, f64::NAN]), within);
    assert!(report.ok && report.failures == 0, "{report:?}");
    assert!((report.max_abs - 5e-4).abs() < 1e-12 && (report.max_rel - 5e-4).abs() < 1e-12);
    for (expected, found) in [
        (inf, -inf),
        (inf, 1e30),
        (1.0, inf),
        (1.0, f64::NAN),
        (f64::NAN, 1.0),
        (f64::NAN, inf),
        (inf, f64::NAN),
        (1.0, 1.01),
        (0.0, 2e-6),
    ] {
        let report = compare(&array(&[0.0, expected]), &array(&[0.0, found]), within);
        assert!(!report.ok && report.failures == 1 && report.worst == 1, "{expected} {found}");
    }
    assert!(compare(&array(&[1e39]), &array(&[inf]), within).ok, "beyond float32's range");
    let exact = Tolerance { rtol: 0.0, atol: 0.0 };
    assert!(compare(&array(&[0.0, 3.0]), &array(&[-0.0, 3.0]), exact).ok);
    assert!(!compare(&array(&[0.0]), &array(&[1e-300]), exact).ok);
    let scalar = Array::scalar(2.0);
    assert!(compare(&scalar, &array(&[2.0]), exact).ok, "a scalar is an array of one");
    let report = compare(&Array::new([2, 1], vec![1.0; 2]), &array(&[1.0; 2]), within);
    assert!(!report.ok && report.to_string().contains("shape [2, 1]"));
}

#[test]
fn every_case_is_exported_and_reads_back() {
    let folder = Folder::new("golden-export");
    let files = export_inputs(&folder.0).unwrap();
    let all = cases::all();
    assert_eq!(files.len(), all.len());
    let mut names: Vec<&str> = all.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "names are distinct");
    for (case, path) in all.iter().zip(&files) {
        let golden = Golden::read(path).unwrap();
        assert_eq!(golden.name.as_deref(), Some(case.name.as_str()));
        assert_eq!(golden.arrays(), case.inputs(), "{}: inputs are exact as f32", case.name);
        assert_eq!(golden.attrs, case.attrs);
        assert_eq!(golden.grad_tolerance, case.grad_tolerance);
        assert_eq!(golden.grad_outs.is_empty(), !case.grad);
        let count: usize = case.inputs().iter().map(Array::len).sum();
        assert!(count <= 200_000, "{} has {count} elements", case.name);
    }
}

/// The reference on PyTorch's committed files: float32's rounding apart, the same numbers.
#[test]
fn the_reference_agrees_with_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ops");
    let mut compared = std::collections::BTreeMap::<String, usize>::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let golden = Golden::read(&entry.unwrap().path()).unwrap();
        let name = golden.name.clone().unwrap();
        let inputs = golden.arrays();
        let outputs = run(&golden.op, &golden.attrs, &inputs).unwrap();
        assert_eq!(outputs.len(), golden.outputs.len(), "{name}");
        let close = |expected: &Array, found: &Array, what: &str| {
            let finite = expected.data.iter().filter(|v| v.is_finite());
            let scale = finite.fold(1.0f64, |m, v| m.max(v.abs()));
            let within = Tolerance { rtol: 1e-6, atol: 1e-9 * scale };
            let report = compare(expected, found, within);
            assert!(report.ok, "{name} {what}: {report}");
        };
        for (i, (expected, found)) in golden.outputs.iter().zip(&outputs).enumerate() {
            close(&expected.array, found, &format!("out.{i}"));
        }
        if let Some(Some(grad_out)) = golden.grad_outs.first() {
            let found =
                grads(&golden.op, &golden.attrs, &inputs, std::slice::from_ref(&grad_out.array));
            let found = found.unwrap();
            for (i, found) in found.iter().enumerate() {
                let expected = golden.grad_ins.get(i).and_then(Option::as_ref);
                assert_eq!(expected.is_some(), found.is_some(), "{name} grad_in.{i}");
                if let Some((expected, found)) = expected.zip(found.as_ref()) {
                    close(&expected.array, found, &format!("grad_in.{i}"));
                }
            }
        }
        *compared.entry(golden.op).or_default() += 1;
    }
    for op in crate::check::reference::OPS {
        let count = compared.get(op.name).copied().unwrap_or(0);
        assert!(count >= 3, "{} has {count} files", op.name);
    }
}

#[test]
fn made_images_are_the_documented_ones() {
    let record = made_record(0);
    assert_eq!(record.len(), 3073);
    assert_eq!(record[..8], [0x00, 0xe2, 0x91, 0x97, 0x1d, 0x6e, 0x63, 0xbd]);
    assert_eq!(made_record(39)[0], 9);
    // the sum over the records of the trajectories, as tools/golden.py makes them
    let total: u64 = (0..40).flat_map(made_record).map(u64::from).sum();
    assert_eq!(total, 15_646_874);
}
