//! Checkpoints: tensors and a little text, as one safetensors file.
//!
//! Saving: tensors + meta → header with a checksum → temporary file → sync → rename. Loading:
//! size and header → checksum → tensors. PyTorch reads the files as they are
//! (`safetensors.torch.load_file`), and files that PyTorch wrote load here.
//!
//! Safetensors keeps its metadata in a hash map, whose order changes from run to run; so ours is
//! one entry, `evenkeel`: a JSON object with sorted keys. Equal content makes equal bytes.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::train::atomic::write_atomic;

/// The metadata entry that holds [`Envelope`].
const META_KEY: &str = "evenkeel";
/// The longest header that is read, in bytes; safetensors has the same limit.
const MAX_HEADER: u64 = 100_000_000;

/// The elements of one tensor, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// 32-bit floats; 16- and 64-bit floats in a file become these.
    F32(Vec<f32>),
    /// 64-bit integers; narrower ones in a file become these.
    I64(Vec<i64>),
    /// Bytes; booleans in a file become 0 and 1.
    U8(Vec<u8>),
}

impl TensorData {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U8(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::I64(_) => Dtype::I64,
            Self::U8(_) => Dtype::U8,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U8(v) => v.clone(),
        }
    }

    /// `None` for a type that has no place here, such as complex numbers.
    fn from_bytes(dtype: Dtype, bytes: &[u8]) -> Option<Self> {
        Some(match dtype {
            Dtype::F32 => Self::F32(read(bytes, f32::from_le_bytes)),
            Dtype::F64 => Self::F32(read(bytes, |b| f64::from_le_bytes(b) as f32)),
            Dtype::F16 => Self::F32(read(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
            Dtype::BF16 => Self::F32(read(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
            Dtype::I64 => Self::I64(read(bytes, i64::from_le_bytes)),
            Dtype::I32 => Self::I64(read(bytes, |b| i32::from_le_bytes(b).into())),
            Dtype::I16 => Self::I64(read(bytes, |b| i16::from_le_bytes(b).into())),
            Dtype::I8 => Self::I64(read(bytes, |b| i8::from_le_bytes(b).into())),
            Dtype::U8 | Dtype::BOOL => Self::U8(bytes.to_vec()),
            _ => return None,
        })
    }
}

fn read<const N: usize, T>(bytes: &[u8], one: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| one(*chunk)).collect()
}

/// What a checkpoint file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Name, shape and elements of each tensor. A file keeps them by type, then by name, whatever
    /// their order here.
    pub tensors: Vec<(String, Vec<usize>, TensorData)>,
    /// Text beside the tensors: the epoch, the random state, the class names, ...
    pub meta: BTreeMap<String, String>,
}

/// Our metadata entry.
#[derive(Serialize, Deserialize)]
struct Envelope {
    /// CRC-32 over meta, names, shapes, types and elements.
    crc32: u32,
    meta: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Two checkpoints: the tensors whose names don't begin with `prefix`, with the metadata, and
    /// those whose names do.
    pub fn split(&self, prefix: &str) -> (Checkpoint, Checkpoint) {
        let (apart, kept) =
            self.tensors.iter().cloned().partition(|(name, ..)| name.starts_with(prefix));
        let kept = Checkpoint { tensors: kept, meta: self.meta.clone() };
        (kept, Checkpoint { tensors: apart, meta: BTreeMap::new() })
    }

    /// Adds a tensor.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize], data: TensorData) {
        self.tensors.push((name.into(), shape.to_vec(), data));
    }

    /// The shape and elements of the tensor `name`.
    pub fn get(&self, name: &str) -> Option<(&[usize], &TensorData)> {
        let found = self.tensors.iter().find(|(n, _, _)| n == name)?;
        Some((&found.1, &found.2))
    }

    /// The file's bytes; equal content makes equal bytes.
    ///
    /// # Errors
    /// Two tensors of one name, a reserved name, or a shape that does not fit the elements.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let wrong = |name: &str, what: String| {
            Error::Failure(format!("checkpoint tensor `{name}`: {what}"))
        };
        let mut parts: BTreeMap<&str, (Dtype, &[usize], Vec<u8>)> = BTreeMap::new();
        for (name, shape, data) in &self.tensors {
            let size = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            if size != Some(data.len()) {
                return Err(wrong(
                    name,
                    format!("shape {shape:?} does not fit {} elements", data.len()),
                ));
            }
            let part = (data.dtype(), shape.as_slice(), data.to_bytes());
            if name == "__metadata__" || parts.insert(name, part).is_some() {
                return Err(wrong(name, "the name is taken".into()));
            }
        }
        let views = parts.iter().map(|(name, (d, s, bytes))| (*name, *d, *s, bytes.as_slice()));
        let envelope =
            Envelope { crc32: checksum(&self.meta, views.clone()), meta: self.meta.clone() };
        let failed = |e: &dyn std::fmt::Display| Error::Failure(format!("checkpoint: {e}"));
        let envelope = serde_json::to_string(&envelope).map_err(|e| failed(&e))?;
        let views = views
            .map(|(name, dtype, shape, bytes)| {
                Ok((name, TensorView::new(dtype, shape.to_vec(), bytes)?))
            })
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| failed(&e))?;
        let meta = HashMap::from([(META_KEY.to_string(), envelope)]);
        safetensors::serialize(views, Some(meta)).map_err(|e| failed(&e))
    }

    /// Writes the checkpoint to `path`, whole or not at all (see [`write_atomic`]).
    ///
    /// # Errors
    /// Content that cannot be stored; a file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &self.to_bytes()?)
    }

    /// Reads a checkpoint, ours or one that another program wrote.
    ///
    /// # Errors
    /// A missing file; one that is not safetensors, is cut short, or is damaged; an element type
    /// that has no place here.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(load(path)?.0)
    }

    /// Reads a checkpoint that [`Checkpoint::save`] wrote; one without our checksum is refused.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load`], and a file that another program wrote.
    pub fn load_own(path: &Path) -> Result<Self> {
        match load(path)? {
            (checkpoint, true) => Ok(checkpoint),
            _ => Err(Error::data(path, "has no evenkeel checksum, so a run cannot go on from it")),
        }
    }
}

/// CRC-32 over everything a checkpoint means, in the order of names.
fn checksum<'a>(
    meta: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    // Each piece is preceded by its length, so that no two contents share one byte stream.
    let mut add = |bytes: &[u8]| {
        crc.update(&(bytes.len() as u64).to_le_bytes());
        crc.update(bytes);
    };
    for (key, value) in meta {
        add(key.as_bytes());
        add(value.as_bytes());
    }
    for (name, dtype, shape, bytes) in tensors {
        add(name.as_bytes());
        add(dtype.to_string().as_bytes());
        add(&shape.iter().flat_map(|d| (*d as u64).to_le_bytes()).collect::<Vec<_>>());
        add(bytes);
    }
    crc.finalize()
}

/// The checkpoint at `path`, and whether its checksum was there (and right).
fn load(path: &Path) -> Result<(Checkpoint, bool)> {
    let bytes = read_checked(path)?;
    let damaged = |e: safetensors::SafeTensorError| {
        Error::data(path, format!("not a valid safetensors file: {e}"))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    let entry = header.metadata().as_ref().and_then(|m| m.get(META_KEY));
    let meta = match entry {
        None => None,
        Some(json) => {
            let envelope: Envelope = serde_json::from_str(json).map_err(|e| {
                Error::data(path, format!("is damaged: its evenkeel metadata: {e}"))
            })?;
            let parts = views.iter().map(|(n, v)| (n.as_str(), v.dtype(), v.shape(), v.data()));
            if checksum(&envelope.meta, parts) != envelope.crc32 {
                let text =
                    "is damaged: its checksum does not match its content; use another checkpoint";
                return Err(Error::data(path, text));
            }
            Some(envelope.meta)
        }
    };
    let mut checkpoint = Checkpoint::default();
    for name in header.offset_keys() {
        let Some(view) = views.get(&name) else {
            continue;
        };
        let Some(data) = TensorData::from_bytes(view.dtype(), view.data()) else {
            let text = format!(
                "tensor `{name}` has elements of type {}, which evenkeel cannot use",
                view.dtype()
            );
            return Err(Error::data(path, text));
        };
        checkpoint.push(name, view.shape(), data);
    }
    let own = meta.is_some();
    checkpoint.meta = meta.unwrap_or_default();
    Ok((checkpoint, own))
}

/// The bytes of a file whose header fits its size. Nothing larger than the file is allocated,
/// whatever the header says.
fn read_checked(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: io::Error| Error::io("read", path, e);
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::usage(format!("{}: no such checkpoint", path.display())));
        }
        other => other.map_err(failed)?,
    };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(Error::usage(format!("{}: a checkpoint is a file", path.display())));
    }
    let size = about.len();
    let mut start = Vec::new();
    (&mut file).take(8).read_to_end(&mut start).map_err(failed)?;
    let Ok(length) = <[u8; 8]>::try_from(start.as_slice()).map(u64::from_le_bytes) else {
        return Err(Error::data(
            path,
            format!("is cut short: {size} bytes are no safetensors file"),
        ));
    };
    if !(2..=MAX_HEADER).contains(&length) {
        return Err(Error::data(path, foreign(&start)));
    }
    let mut bytes = start;
    let read = (&mut file).take(length).read_to_end(&mut bytes).map_err(failed)? as u64;
    if bytes.get(8) != Some(&b'{') {
        return Err(Error::data(path, foreign(&bytes)));
    }
    if read < length {
        let text = format!(
            "is cut short: its header has {length} bytes, but the file ends after {read} of them"
        );
        return Err(Error::data(path, text));
    }
    let expected = 8u64.saturating_add(length).saturating_add(data_end(&bytes[8..], path)?);
    if expected != size {
        let how = if size < expected { "is cut short" } else { "is damaged" };
        return Err(Error::data(
            path,
            format!("{how}: its header speaks of {expected} bytes, but it has {size}"),
        ));
    }
    let rest = usize::try_from(size - 8 - length).unwrap_or(usize::MAX);
    bytes
        .try_reserve_exact(rest)
        .map_err(|_| Error::data(path, format!("its {size} bytes do not fit into memory")))?;
    file.take(rest as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Where the last tensor's elements end, by the header. Checked before safetensors adds these
/// numbers up, since it does so without a check for overflow.
fn data_end(header: &[u8], path: &Path) -> Result<u64> {
    #[derive(Deserialize)]
    struct Place {
        data_offsets: Option<(u64, u64)>,
    }
    let places: HashMap<String, Place> = serde_json::from_slice(header).map_err(|e| {
        Error::data(path, format!("not a valid safetensors file: its header is damaged: {e}"))
    })?;
    Ok(places.values().filter_map(|p| Some(p.data_offsets?.1)).max().unwrap_or(0))
}

/// What a file that is not safetensors may be.
fn foreign(start: &[u8]) -> &'static str {
    if start.starts_with(b"PK") || start.starts_with(b"\x80\x02") {
        "is a PyTorch pickle, not safetensors; convert it in Python: \
         safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")"
    } else {
        "is not a safetensors file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn sample() -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        checkpoint.push(
            "layer3.0.bn2.weight",
            &[2, 2],
            TensorData::F32(vec![1.0, -0.0, f32::NAN, 1e-40]),
        );
        checkpoint.push("bn1.num_batches_tracked", &[], TensorData::I64(vec![i64::MIN]));
        checkpoint.push("conv1.weight", &[3], TensorData::F32(vec![0.1, 0.2, 0.3]));
        checkpoint.push("mask", &[0, 5], TensorData::U8(vec![]));
        checkpoint.push("rng", &[5], TensorData::U8(vec![1, 2, 3, 255, 0]));
        for (key, value) in
            [("epoch", "3"), ("classes", "[\"a\", \"ü\"]"), ("seed", "0"), ("x", "")]
        {
            checkpoint.meta.insert(key.into(), value.into());
        }
        checkpoint
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn refused(bytes: &[u8]) -> String {
        let folder = folder();
        let path = folder.path().join("c.safetensors");
        fs::write(&path, bytes).unwrap();
        let error = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(error.contains("c.safetensors"), "{error}");
        error
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn what_was_saved_is_loaded_bit_for_bit() {
        let (folder, saved) = (folder(), sample());
        let path = folder.path().join("c.safetensors");
        saved.save(&path).unwrap();
        let loaded = Checkpoint::load_own(&path).unwrap();
        assert_eq!(loaded.meta, saved.meta);
        assert_eq!(loaded.tensors.len(), saved.tensors.len());
        for (name, shape, data) in &saved.tensors {
            let found = loaded.get(name).unwrap();
            assert_eq!((found.0, found.1.to_bytes()), (shape.as_slice(), data.to_bytes()));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn equal_content_makes_equal_bytes() {
        let mut other = sample();
        other.tensors.reverse();
        // Each serialization makes a new hash map with a new random order.
        for _ in 0..8 {
            assert_eq!(sample().to_bytes().unwrap(), other.to_bytes().unwrap());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = sample().to_bytes().unwrap();
        let (folder, path) = (folder(), PathBuf::from("c.safetensors"));
        let path = folder.path().join(path);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            if let Ok(loaded) = Checkpoint::load_own(&path) {
                // Only a change of spelling may pass: padding, or JSON that means the same.
                assert_eq!(loaded.to_bytes().unwrap(), bytes, "byte {at}");
            }
            fs::write(&path, &bytes[..at]).unwrap();
            assert!(Checkpoint::load(&path).is_err(), "cut at {at}");
        }
        assert!(refused(&bytes[..bytes.len() - 1]).contains("cut short"));
        assert!(refused(&bytes[..20]).contains("cut short"));
        assert!(refused(&bytes[..3]).contains("cut short"));
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 4;
        assert!(refused(&damaged).contains("checksum"));
        assert!(refused(&[bytes.as_slice(), b"more"].concat()).contains("damaged"));
    }

    #[test]
    fn files_that_are_something_else() {
        assert!(refused(b"PK\x03\x04 and a zip archive").contains("pickle"));
        assert!(refused(b"epoch,loss\n1,2.5\n").contains("not a safetensors"));
        assert!(refused(b"").contains("cut short"));
        let missing = Checkpoint::load(Path::new("/no/such.safetensors")).unwrap_err();
        assert!(missing.to_string().contains("no such checkpoint"));
        assert_eq!(missing.exit_code(), 2);
        assert_eq!(Checkpoint::load(folder().path()).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn headers_that_lie() {
        let place = |dtype: &str, shape: &str, end: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
        };
        let huge = "18446744073709551615";
        assert!(
            refused(&file(&place("U8", &format!("[{huge}]"), huge), b"")).contains("cut short")
        );
        assert!(
            refused(&file(&place("F32", "[2305843009213693951, 8]", "4"), b"1234"))
                .contains("overflow")
        );
        assert!(refused(&file(&place("F32", "[2]", "4"), b"1234")).contains("not a valid"));
        assert!(refused(&file(&place("F32", "[-1]", "4"), b"1234")).contains("not a valid"));
        assert!(refused(&file(&place("C64", "[1]", "8"), b"12345678")).contains("type C64"));
        assert!(refused(&file("{\"a\":", b"")).contains("header is damaged"));
        assert!(refused(&file("{{{{{{{{", b"")).contains("header is damaged"));
        assert!(
            refused(&[&(99_999_999u64).to_le_bytes()[..], b"{"].concat()).contains("cut short")
        );
        assert!(refused(&file(&"[".repeat(100_000), b"")).contains("not a safetensors"));
        assert!(
            refused(&file(&format!("{{\"a\":{}", "[".repeat(100_000)), b"")).contains("damaged")
        );
    }

    #[test]
    fn other_programs_files_load_as_floats() {
        let folder = folder();
        let path = folder.path().join("torch.safetensors");
        let header = r#"{"__metadata__":{"format":"pt"},"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
            "b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},"d":{"dtype":"F64","shape":[1],"data_offsets":[6,14]},
            "i":{"dtype":"I32","shape":[1],"data_offsets":[14,18]},"t":{"dtype":"BOOL","shape":[1],"data_offsets":[18,19]}}"#;
        let mut data = vec![0x00, 0x3c, 0x00, 0xc0, 0xc0, 0x3f];
        data.extend(0.1f64.to_le_bytes());
        data.extend((-5i32).to_le_bytes());
        data.push(1);
        fs::write(&path, file(header, &data)).unwrap();
        let loaded = Checkpoint::load(&path).unwrap();
        assert_eq!(loaded.get("h").unwrap().1, &TensorData::F32(vec![1.0, -2.0]));
        assert_eq!(loaded.get("b").unwrap().1, &TensorData::F32(vec![1.5]));
        assert_eq!(loaded.get("d").unwrap().1, &TensorData::F32(vec![0.1]));
        assert_eq!(loaded.get("i").unwrap().1, &TensorData::I64(vec![-5]));
        assert_eq!(loaded.get("t").unwrap().1, &TensorData::U8(vec![1]));
        assert!(Checkpoint::load_own(&path).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn content_that_cannot_be_stored() {
        let mut twice = sample();
        twice.push("rng", &[1], TensorData::U8(vec![1]));
        assert!(twice.to_bytes().unwrap_err().to_string().contains("taken"));
        let mut misshapen = Checkpoint::default();
        misshapen.push("w", &[2, 3], TensorData::F32(vec![0.0; 5]));
        assert!(misshapen.to_bytes().unwrap_err().to_string().contains("[2, 3]"));
    }
}
