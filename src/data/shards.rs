//! Sharded tar files in WebDataset's layout: a sample is `KEY.jpg` (or `.png`) and `KEY.cls`, its label in
//! decimal. Many small files become a few large ones, which any disk reads at its full speed.
//!
//! [`pack`]: a listing → `train-000000.tar`, …, `test-000000.tar`, …, `classes.txt`, each written beside
//! its place and moved there when whole. [`list`]: such a folder → [`Listing`] of ranges in the shards.

use super::files::{Listing, Part};
use super::folder::folder_name;
use super::image_file;
use super::place::Place;
use super::random::Draws;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The class names, one a line.
pub(super) const CLASSES: &str = "classes.txt";
/// The splits, by the name their shards begin with.
const SPLITS: [&str; 3] = ["train", "test", "val"];
/// Purpose of the shuffle's random numbers.
const SHUFFLE: u64 = 0x7368_6172;

/// What was packed.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// The shards, in order.
    pub shards: Vec<PathBuf>,
    /// Images in them.
    pub images: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Images left out, as `path: why`.
    pub skipped: Vec<String>,
}

/// Writes a listing's images, as they are, into shards of about `shard_bytes`, each split shuffled by
/// `seed` so that reading a shard from front to end mixes classes.
///
/// # Errors
/// A folder that has shards already; an image that cannot be decoded, unless `skip_bad`; a full disk.
pub(super) fn pack(
    listing: &Listing,
    out: &Path,
    shard_bytes: u64,
    seed: u64,
    skip_bad: bool,
) -> Result<Packed> {
    std::fs::create_dir_all(out).map_err(|e| Error::io("create", out, e))?;
    if out.join(CLASSES).exists() {
        let why = format!("{} holds a packed set already", out.display());
        return Err(Error::usage(why));
    }
    let mut packed = Packed { skipped: listing.skipped.clone(), ..Packed::default() };
    for (name, part) in SPLITS.iter().zip([&listing.train, &listing.test, &listing.val]) {
        let mut order: Vec<usize> = (0..part.labels.len()).collect();
        let mut draws = Draws::new(&[seed, SHUFFLE]);
        (1..order.len()).rev().for_each(|i| order.swap(i, draws.below(i + 1)));
        let mut open: Option<Shard> = None;
        let mut next = 0;
        for i in order {
            let place = &part.paths[i];
            let bytes = match place.read().and_then(|b| checked(place, b)) {
                Ok(bytes) => bytes,
                Err(e) if skip_bad => {
                    packed.skipped.push(e.to_string());
                    continue;
                }
                Err(e) => return Err(e),
            };
            if open.as_ref().is_some_and(|s| s.bytes + bytes.len() as u64 > shard_bytes) {
                finish(&mut open, &mut packed)?;
            }
            let shard = match &mut open {
                Some(shard) => shard,
                None => {
                    let file = format!("{name}-{next:06}.tar");
                    next += 1;
                    open.insert(Shard::create(out.join(file))?)
                }
            };
            shard.add(packed.images, &bytes, part.labels[i])?;
            packed.images += 1;
            packed.bytes += bytes.len() as u64;
        }
        finish(&mut open, &mut packed)?;
    }
    // Last: a folder with this file is whole.
    let text: String = listing.classes.iter().map(|c| format!("{c}\n")).collect();
    let path = out.join(CLASSES);
    std::fs::write(&path, text).map_err(|e| Error::io("write", &path, e))?;
    Ok(packed)
}

/// The bytes, if they are an image that can be decoded.
fn checked(place: &Place, bytes: Vec<u8>) -> Result<Vec<u8>> {
    image_file::decode(place.path(), &bytes)?;
    Ok(bytes)
}

fn finish(open: &mut Option<Shard>, packed: &mut Packed) -> Result<()> {
    if let Some(shard) = open.take() {
        packed.shards.push(shard.finish()?);
    }
    Ok(())
}

/// A shard being written, under a name of its own until it is whole.
struct Shard {
    tar: tar::Builder<BufWriter<std::fs::File>>,
    temporary: PathBuf,
    path: PathBuf,
    bytes: u64,
}

impl Shard {
    fn create(path: PathBuf) -> Result<Self> {
        let temporary = path.with_extension("tar.part");
        let file =
            std::fs::File::create(&temporary).map_err(|e| Error::io("create", &temporary, e))?;
        Ok(Shard { tar: tar::Builder::new(BufWriter::new(file)), temporary, path, bytes: 0 })
    }

    fn add(&mut self, key: usize, image: &[u8], label: u32) -> Result<()> {
        let png = image.starts_with(&[0x89, b'P', b'N', b'G']);
        let kind = if png { "png" } else { "jpg" };
        let members = [(kind, image), ("cls", &label.to_string().into_bytes()[..])];
        for (ending, bytes) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            let name = format!("{key:09}.{ending}");
            self.tar
                .append_data(&mut header, name, bytes)
                .map_err(|e| Error::io("write", &self.temporary, e))?;
        }
        self.bytes += image.len() as u64;
        Ok(())
    }

    fn finish(self) -> Result<PathBuf> {
        let failed = |e| Error::io("write", &self.temporary, e);
        let mut writer = self.tar.into_inner().map_err(failed)?;
        writer.flush().map_err(failed)?;
        writer.get_ref().sync_all().map_err(failed)?;
        std::fs::rename(&self.temporary, &self.path)
            .map_err(|e| Error::io("write", &self.path, e))?;
        Ok(self.path)
    }
}

/// Lists the samples of a packed folder: only the shards' headers are read.
///
/// # Errors
/// No packed folder; a damaged shard; an image without a label, a label beyond the classes.
pub(super) fn list(dir: &Path) -> Result<Listing> {
    let path = dir.join(CLASSES);
    let text = std::fs::read_to_string(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::usage(format!(
            "{}: no packed set (no {CLASSES}); `evenkeel data pack` makes one",
            dir.display()
        )),
        _ => Error::io("read", &path, e),
    })?;
    let classes: Vec<String> = text.lines().map(str::to_string).collect();
    let mut listing = Listing { name: folder_name(dir), ..Listing::default() };
    for name in SPLITS {
        let mut part = Part::default();
        for number in 0.. {
            let shard = dir.join(format!("{name}-{number:06}.tar"));
            if !shard.is_file() {
                break;
            }
            members(&shard, classes.len(), &mut part)?;
        }
        match name {
            "train" => listing.train = part,
            "test" => listing.test = part,
            _ => listing.val = part,
        }
    }
    Ok(Listing { classes, ..listing })
}

/// Appends a shard's samples, in its order.
fn members(shard: &Path, classes: usize, part: &mut Part) -> Result<()> {
    let damaged = |e: std::io::Error| Error::data(shard, format!("is no whole tar file: {e}"));
    let file = std::fs::File::open(shard).map_err(|e| Error::io("read", shard, e))?;
    let length = file.metadata().map_err(|e| Error::io("read", shard, e))?.len();
    let shared: Arc<Path> = shard.into();
    let mut images: Vec<(String, Place)> = Vec::new();
    let mut labels: HashMap<String, u32> = HashMap::new();
    let mut archive = tar::Archive::new(BufReader::new(file));
    for member in archive.entries_with_seek().map_err(damaged)? {
        let mut member = member.map_err(damaged)?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let Some((key, ending)) = name.rsplit_once('.') else { continue };
        let wrong = |why: String| Error::data(shard, format!("{name}: {why}"));
        match ending {
            "cls" => {
                let mut text = String::new();
                member.read_to_string(&mut text).map_err(damaged)?;
                let label = text.trim().parse::<u32>().ok().filter(|l| (*l as usize) < classes);
                let label = label.ok_or_else(|| {
                    wrong(format!("the label `{}` is none of {classes} classes", text.trim()))
                })?;
                labels.insert(key.to_string(), label);
            }
            "jpg" | "jpeg" | "png" => {
                let (offset, size) = (member.raw_file_position(), member.size());
                if offset + size > length {
                    return Err(wrong("the shard ends before it".into()));
                }
                let place = Place::within(&shared, &name, offset, size as usize);
                images.push((key.to_string(), place));
            }
            _ => {}
        }
    }
    for (key, place) in images {
        let label = labels.get(&key).copied();
        let label =
            label.ok_or_else(|| Error::data(shard, format!("{key} has no label ({key}.cls)")))?;
        part.push(place, label as usize);
    }
    Ok(())
}
