//! A data set of image files looked through: every image decoded once, classes counted, what is broken,
//! missing or in training and test alike named; and packed into shards.
//!
//! A place (class folders, list files or shards, told apart by what is there) → listing → all processors
//! decode → [`Audit`].

use super::files::{Listing, Part};
use super::place::Place;
use super::shards::{self, Packed};
use super::stream::{How, Stream};
use super::{folder, image_file, list, longtail, parallel, survey};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

/// A data set in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// The folder's name.
    pub name: String,
    /// `folder`, `list` or `shards`: what `--dataset` calls it.
    pub kind: &'static str,
    /// Class names.
    pub classes: Vec<String>,
    /// Training images of each class.
    pub counts: Vec<usize>,
    /// Images of each split, as listed.
    pub images: Vec<(&'static str, usize)>,
    /// The test images were chosen here from each class, since there is no test set.
    pub chosen: bool,
    /// Bytes of all images that could be read.
    pub bytes: u64,
    /// Shorter side in pixels: smallest, median, largest.
    pub sides: Option<[u32; 3]>,
    /// Images that are missing or cannot be decoded, as `path: why`.
    pub broken: Vec<String>,
    /// Test images whose bytes are also those of a training image, as `path = path`.
    pub twins: Vec<String>,
}

impl Audit {
    /// Largest class over smallest.
    pub fn ratio(&self) -> f64 {
        longtail::ratio(&self.counts)
    }
}

/// What lies at `place`, with `seed` for the choice of test images where there are none. Missing images of
/// a list are told in the listing.
fn listing(place: &Path, seed: u64) -> Result<(&'static str, Listing)> {
    if !place.exists() {
        return Err(Error::usage(format!("{}: no such folder or list", place.display())));
    }
    let is_list = place.is_file()
        || std::fs::read_dir(place)
            .map_err(|e| Error::io("read", place, e))?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().ends_with("train.txt"));
    if super::is_packed(place) {
        Ok(("shards", shards::list(place)?))
    } else if is_list {
        Ok(("list", list::list(place, true)?))
    } else {
        Ok(("folder", folder::list(place, seed)?))
    }
}

/// What a set lists, without a look into its images.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// `folder`, `list` or `shards`.
    pub kind: &'static str,
    /// Classes, training and test images.
    pub size: [usize; 3],
    /// Images that a list names and that are not there.
    pub missing: Vec<String>,
}

/// What the set at `place` lists.
///
/// # Errors
/// No data set there.
pub fn listed(place: &Path, seed: u64) -> Result<Listed> {
    let (kind, listing) = listing(place, seed)?;
    let images = [&listing.train, &listing.test].map(|part| part.labels.len());
    let size = [listing.classes.len(), images[0], images[1]];
    Ok(Listed { kind, size, missing: listing.skipped })
}

fn parts(listing: &Listing) -> [(&'static str, &Part); 3] {
    [("train", &listing.train), ("test", &listing.test), ("val", &listing.val)]
}

/// What an image's bytes are.
struct Seen {
    hash: u64,
    bytes: u64,
    side: u32,
}

/// Decodes every image of the set at `place`.
///
/// # Errors
/// No data set there. Broken images are no error: they are in the result.
pub fn audit(place: &Path, seed: u64) -> Result<Audit> {
    let (kind, listing) = listing(place, seed)?;
    let all: Vec<&Place> = parts(&listing).into_iter().flat_map(|(_, p)| &p.paths).collect();
    let seen: Vec<Result<Seen>> = parallel::each(&all, |place| {
        let bytes = place.read()?;
        let image = image_file::decode(place.path(), &bytes)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let side = image.width().min(image.height());
        Ok(Seen { hash: hasher.finish(), bytes: bytes.len() as u64, side })
    });
    let trained = listing.train.paths.len();
    let mut known: HashMap<(u64, u64), usize> = HashMap::new();
    let mut audit = Audit { kind, broken: listing.skipped.clone(), ..Audit::default() };
    let mut sides = Vec::new();
    for (i, result) in seen.into_iter().enumerate() {
        match result {
            Err(e) => audit.broken.push(e.to_string()),
            Ok(Seen { hash, bytes, side }) => {
                audit.bytes += bytes;
                sides.push(side);
                if i < trained {
                    known.entry((hash, bytes)).or_insert(i);
                } else if let Some(twin) = known.get(&(hash, bytes)) {
                    let [a, b] = [i, *twin].map(|i| all[i].path().display());
                    audit.twins.push(format!("{a} = {b}"));
                }
            }
        }
    }
    audit.sides = survey::spread(sides);
    audit.images = parts(&listing).map(|(name, p)| (name, p.labels.len())).to_vec();
    audit.counts = longtail::tally(&listing.train.labels, listing.classes.len());
    let Listing { name, classes, chosen, .. } = listing;
    Ok(Audit { name, classes, chosen, ..audit })
}

/// Packs the set at `place` into shards of about `shard_bytes` in the folder `out`.
///
/// # Errors
/// No data set there, a broken or missing image unless `skip_bad`, an `out` that has shards already.
pub fn pack(
    place: &Path,
    out: &Path,
    shard_bytes: u64,
    seed: u64,
    skip_bad: bool,
) -> Result<Packed> {
    let (_, listing) = listing(place, seed)?;
    if let Some(missing) = listing.skipped.first().filter(|_| !skip_bad) {
        return Err(Error::data(place, format!("{missing} (--skip-bad leaves such files out)")));
    }
    shards::pack(&listing, out, shard_bytes, seed, skip_bad)
}

/// The training images of the set at `place`, for measuring how fast they are read.
#[derive(Clone, Debug)]
pub struct Training {
    places: Arc<Vec<Place>>,
}

impl Training {
    /// At most `most` training images, spread over the set.
    ///
    /// # Errors
    /// No data set there.
    pub fn of(place: &Path, seed: u64, most: usize) -> Result<Self> {
        let paths = listing(place, seed)?.1.train.paths;
        let step = paths.len().div_ceil(most.max(1)).max(1);
        Ok(Training { places: Arc::new(paths.into_iter().step_by(step).collect()) })
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Reads and decodes them all, as fast as the library does, and forgets them; unreadable ones count
    /// as read.
    pub fn decode(&self) {
        parallel::each(&self.places, |place| {
            place.read().and_then(|bytes| image_file::decode(place.path(), &bytes)).is_ok()
        });
    }

    /// Streams them in order.
    ///
    /// # Errors
    /// No threads.
    pub fn stream(&self, how: How) -> Result<Stream> {
        let order = Arc::new((0..self.places.len() as u32).collect());
        Stream::start(self.places.clone(), order, how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataSpec, load};
    use image::{Rgb, RgbImage};

    /// Two classes of 9 and 3 images with a test set, of which one is also a training image and one
    /// broken.
    fn set() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut shade = 0;
        for (folder, n) in [("train/ant", 9), ("train/bee", 3), ("test/ant", 2), ("test/bee", 2)] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            for i in 0..n {
                shade += 3;
                let path = dir.path().join(folder).join(format!("{i}.png"));
                RgbImage::from_pixel(20 + i, 12, Rgb([shade, 0, 9])).save(path).unwrap();
            }
        }
        let at = |name: &str| dir.path().join(name);
        std::fs::copy(at("train/ant/4.png"), at("test/bee/0.png")).unwrap();
        std::fs::write(at("test/ant/1.png"), b"broken").unwrap();
        dir
    }

    #[test]
    fn a_set_is_counted_and_its_faults_are_named() {
        let dir = set();
        let found = audit(dir.path(), 0).unwrap();
        assert_eq!((found.kind, &found.counts[..]), ("folder", &[9, 3][..]));
        assert_eq!(found.images, [("train", 12), ("test", 4), ("val", 0)]);
        assert_eq!(found.ratio(), 3.0);
        assert_eq!(found.sides, Some([12, 12, 12]));
        assert_eq!(found.broken.len(), 1, "{:?}", found.broken);
        assert!(found.broken[0].contains("1.png"));
        assert_eq!(found.twins.len(), 1, "{:?}", found.twins);
        assert!(found.twins[0].contains("bee") && found.twins[0].contains("4.png"));
    }

    #[test]
    fn a_packed_set_is_the_same_set() {
        let (dir, out) = (set(), tempfile::tempdir().unwrap());
        let strict = pack(dir.path(), out.path(), 300, 0, false).unwrap_err().to_string();
        assert!(strict.contains("1.png"), "{strict}");
        let out = tempfile::tempdir().unwrap();
        let packed = pack(dir.path(), out.path(), 300, 0, true).unwrap();
        assert_eq!((packed.images, packed.skipped.len()), (15, 1));
        assert!(packed.shards.len() > 3, "{:?}", packed.shards);
        let twice = pack(dir.path(), out.path(), 300, 0, true).unwrap_err().to_string();
        assert!(twice.contains("already"), "{twice}");

        let found = audit(out.path(), 0).unwrap();
        assert_eq!((found.kind, &found.counts[..]), ("shards", &[9, 3][..]));
        assert_eq!(found.images, [("train", 12), ("test", 3), ("val", 0)]);
        assert_eq!((found.classes.join(" ").as_str(), found.broken.len()), ("ant bee", 0));
        // The same images with the same labels, in another order.
        let load = |dataset: &str, data: &Path| {
            let spec = DataSpec {
                dataset: dataset.into(),
                data: Some(data.into()),
                imbalance: 1.0,
                image_size: Some(8),
                skip_bad: true,
                ..DataSpec::default()
            };
            let train = load(&spec).unwrap().train;
            let mut all: Vec<(u32, Vec<u8>)> =
                (0..train.len()).map(|i| (train.labels[i], train.image(i).to_vec())).collect();
            all.sort();
            all
        };
        assert_eq!(load("shards", out.path()), load("folder", dir.path()));
    }

    #[test]
    fn damaged_shards_are_refused_by_name() {
        let (dir, out) = (set(), tempfile::tempdir().unwrap());
        let packed = pack(dir.path(), out.path(), 1 << 20, 0, true).unwrap();
        let shard = &packed.shards[0];
        let whole = std::fs::read(shard).unwrap();
        std::fs::write(shard, &whole[..whole.len() / 2 + 100]).unwrap();
        let e = audit(out.path(), 0).unwrap_err().to_string();
        assert!(e.contains("train-000000.tar"), "{e}");
        // A label that no class has.
        let text = whole.clone();
        let at = text.windows(4).position(|w| w == b".cls").unwrap();
        let label = (at / 512 + 1) * 512;
        let mut wrong = whole;
        wrong[label] = b'7';
        std::fs::write(shard, wrong).unwrap();
        let e = audit(out.path(), 0).unwrap_err().to_string();
        assert!(e.contains("`7`") && e.contains("2 classes"), "{e}");
        let nothing = tempfile::tempdir().unwrap();
        let e = shards::list(nothing.path()).unwrap_err().to_string();
        assert!(e.contains("data pack"), "{e}");
    }
}
